// @ts-check
// What a crew does without network waits here, in order, and leaves only when the server has
// answered. Nothing leaves the queue unseen.

/** @typedef {{key: string, user: string, order: string, url: string, fields: [string, string | Blob][], text: string, created: number, problem?: string, status?: number}} Row */

const USER = document.body.dataset.user || "";

/** @returns {Promise<IDBDatabase>} */
function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("ljusvakt", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("outbox", { keyPath: "key" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} work
 * @returns {Promise<T>}
 */
async function inStore(mode, work) {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const request = work(database.transaction("outbox", mode).objectStore("outbox"));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } finally {
    database.close();
  }
}

/** @returns {Promise<Row[]>} */
export async function waitingRows() {
  const rows = /** @type {Row[]} */ (await inStore("readonly", (store) => store.getAll()));
  return rows.filter((row) => row.user === USER).sort((a, b) => a.created - b.created);
}

/** @param {Row} row */
export const keep = (row) => inStore("readwrite", (store) => store.put(row));

/** @param {string} key */
export const drop = (key) => inStore("readwrite", (store) => store.delete(key));

/**
 * Send one row. Resolves to the answer's status; 0 when there was no network.
 * @param {Row} row
 */
async function sent(row) {
  const body = new FormData();
  for (const [name, value] of row.fields) body.append(name, value);
  const token = document.querySelector('input[name="csrf"]')?.getAttribute("value");
  if (token) body.set("csrf", token);
  const headers = { Accept: "application/json", "Idempotency-Key": row.key };
  try {
    const answer = await fetch(row.url, { method: "POST", body, headers, redirect: "error" });
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({}));
      row.problem = said.detail || said.title || "";
    }
    return answer.status;
  } catch {
    return 0;
  }
}

let sending = false, attempt = 0;

/** Send what waits, order by order; a row that is held back holds back only its own order. */
export async function flush() {
  if (sending) return;
  sending = true;
  let again = false;
  const held = new Set();
  try {
    for (const row of await waitingRows()) {
      if (held.has(row.order)) continue;
      const status = await sent(row);
      if (status >= 200 && status < 300) {
        await drop(row.key);
        continue;
      }
      held.add(row.order);
      row.status = status;
      await keep(row);
      if (status === 0 || status === 429 || status >= 500) again = true;
    }
    attempt = again ? attempt + 1 : 0;
  } finally {
    sending = false;
  }
  await shown();
  // Full jitter: a hundred phones that come back at once do not call at once.
  if (again) setTimeout(flush, Math.random() * Math.min(60_000, 1000 * 2 ** attempt));
}

/** Show what waits, where the page has a place for it. */
async function shown() {
  const box = document.getElementById("outbox");
  if (!box) return;
  box.replaceChildren(...(await waitingRows()).map((row) => {
    const line = document.createElement("div");
    const refused = row.status === 409 || row.status === 412 || row.status === 403 || row.status === 404 || row.status === 422;
    line.className = `notice ${refused ? "bad" : "warn"}`;
    const what = document.createElement("strong");
    what.textContent = `#${row.order} ${row.text} `;
    line.append(what);
    if (refused) {
      line.append(`${box.dataset.conflict} ${row.problem || ""} `);
      const open = document.createElement("a");
      open.href = row.url;
      open.textContent = box.dataset.open || "";
      const away = document.createElement("button");
      away.className = "quiet";
      away.textContent = box.dataset.drop || "";
      away.addEventListener("click", () => void drop(row.key).then(shown));
      line.append(open, " ", away);
    } else {
      line.append((row.status === 401 ? box.dataset.signin : box.dataset.waiting) || "");
    }
    return line;
  }));
}

/** @param {SubmitEvent} event */
async function taken(event) {
  const form = /** @type {HTMLFormElement} */ (event.target);
  event.preventDefault();
  const data = new FormData(form);
  const text = form.querySelector("button")?.textContent?.trim() || "";
  /** @type {[string, string | Blob][]} */
  const fields = [...data.entries()].filter(([, v]) => !(v instanceof File && v.size === 0));
  await keep({
    key: String(data.get("idempotency_key")), user: USER, order: form.dataset.outbox || "",
    url: form.getAttribute("action") || location.pathname, fields, text, created: Date.now(),
  });
  for (const button of document.querySelectorAll("main button")) /** @type {HTMLButtonElement} */ (button).disabled = true;
  await flush();
  const left = (await waitingRows()).find((row) => row.order === form.dataset.outbox);
  // A refusal is shown by the list, which is also there without network.
  location.assign(left ? "/crew" : location.pathname);
}

if ("indexedDB" in window) {
  for (const form of document.querySelectorAll("form[data-outbox]")) {
    form.addEventListener("submit", (event) => void taken(/** @type {SubmitEvent} */ (event)));
  }
  window.addEventListener("online", () => void flush());
  document.addEventListener("visibilitychange", () => { if (!document.hidden) void flush(); });
  void flush();
}
