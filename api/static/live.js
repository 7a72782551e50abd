// @ts-check
// The overview keeps itself up to date: the server says that something changed, the page asks what.

let waiting = 0;

/** Fetch this page again and take over the parts that may have changed. */
async function refresh() {
  waiting = 0;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["figures", "orders", "live"]) {
    const mine = document.getElementById(id), theirs = fresh.getElementById(id);
    if (mine && theirs && mine.innerHTML !== theirs.innerHTML) mine.replaceWith(theirs);
  }
  document.dispatchEvent(new CustomEvent("ljusvakt:changed"));
}

/** Ask at most once every two seconds, however many events come. */
function soon() {
  if (!waiting) waiting = window.setTimeout(() => void refresh().catch(() => undefined), 2000);
}

const events = new EventSource("/api/v1/events");
for (const kind of ["message", "work_order", "incident", "states"]) events.addEventListener(kind, soon);
window.addEventListener("pagehide", () => events.close());
