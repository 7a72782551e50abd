// @ts-check
// Keeps the crew's list and its orders readable without network, for one signed-in person at a time.
// It leaves everything that is not reading, and the event stream, alone.

const PAGES = "pages", FILES = "files", WHO = "/__user";
const worker = /** @type {any} */ (self);

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(worker.clients.claim()));

worker.addEventListener("message", (/** @type {any} */ event) => {
  if (event.data?.type === "user") event.waitUntil(known(event.data.user, event.data.pages || []));
});

/**
 * Pages belong to whoever is signed in: another user, or none, and they are gone.
 * @param {string} user
 * @param {string[]} wanted
 */
async function known(user, wanted) {
  const before = await (await caches.open(PAGES)).match(WHO);
  if (!before || (await before.text()) !== user) await caches.delete(PAGES);
  const pages = await caches.open(PAGES);
  await pages.put(WHO, new Response(user));
  if (!user) return;
  for (const href of wanted) {
    const answer = await fetch(href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer?.ok && !answer.redirected) await pages.put(href, answer);
  }
}

/** @param {URL} url */
const isCrewPage = (url) => url.pathname === "/crew" || /^\/orders\/\d+$/.test(url.pathname);

worker.addEventListener("fetch", (/** @type {any} */ event) => {
  const request = event.request, url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (url.pathname.startsWith("/static/")) event.respondWith(fromFiles(request));
  else if (request.mode === "navigate" && isCrewPage(url)) event.respondWith(fromNetworkFirst(request, url));
});

/** @param {Request} request Addresses of files change with their content, so a kept one is right. */
async function fromFiles(request) {
  const files = await caches.open(FILES), kept = await files.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok && new URL(request.url).searchParams.has("v")) await files.put(request, answer.clone());
  return answer;
}

/** @param {Request} request @param {URL} url */
async function fromNetworkFirst(request, url) {
  try {
    const answer = await fetch(request);
    if (answer.ok && !answer.redirected) await (await caches.open(PAGES)).put(url.pathname, answer.clone());
    return answer;
  } catch {
    const kept = await (await caches.open(PAGES)).match(url.pathname);
    if (!kept) return Response.error();
    const text = (await kept.text()).replace("<html ", '<html class="is-offline" ');
    return new Response(text, { headers: { "Content-Type": "text/html; charset=utf-8" } });
  }
}
