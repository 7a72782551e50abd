// @ts-check
// Every page: the clock that shows what time it is in the city, and the worker that keeps the
// crew's list readable without network.

const clock = /** @type {HTMLTimeElement | null} */ (document.getElementById("now"));

/**
 * Keep the shown time moving between two pages; simulated time moves faster than ours.
 * @param {HTMLTimeElement} element
 */
function tick(element) {
  const startMs = Number(element.dataset.now);
  const speed = Number(element.dataset.speed || 1);
  const zone = element.dataset.zone || "UTC";
  const began = performance.now();
  const format = new Intl.DateTimeFormat(document.documentElement.lang, {
    weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
    timeZone: zone, hourCycle: "h23",
  });
  const show = () => {
    const at = new Date(startMs + (performance.now() - began) * speed);
    const parts = Object.fromEntries(format.formatToParts(at).map((p) => [p.type, p.value]));
    element.textContent = `${parts.weekday} ${parts.day} ${parts.month} ${parts.hour}:${parts.minute}`;
  };
  setInterval(show, speed > 1 ? 1000 : 10000);
}

if (clock) tick(clock);

if ("serviceWorker" in navigator && window.isSecureContext) {
  navigator.serviceWorker.register("/sw.js").then(() => navigator.serviceWorker.ready).then((ready) => {
    const user = document.body.dataset.user || "";
    const pages = document.body.hasAttribute("data-offline-list")
      ? [...document.querySelectorAll("a.order")].slice(0, 40).map((a) => a.getAttribute("href"))
      : [];
    ready.active?.postMessage({ type: "user", user, pages });
  }).catch(() => undefined);
}

// A menu closes when one clicks beside it or presses Escape.
const menu = /** @type {HTMLDetailsElement | null} */ (document.querySelector("details.settings"));
document.addEventListener("click", (event) => {
  if (menu?.open && event.target instanceof Node && !menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu?.open) {
    menu.open = false;
    menu.querySelector("summary")?.focus();
  }
});

// The crew's list by distance, when the phone may tell where it is.
const nearest = /** @type {HTMLButtonElement | null} */ (document.getElementById("by-distance"));
if (nearest && "geolocation" in navigator) {
  nearest.hidden = false;
  nearest.addEventListener("click", () => navigator.geolocation.getCurrentPosition(sortByDistance));
}

/** @param {GeolocationPosition} here */
function sortByDistance(here) {
  const metres = (/** @type {Element} */ item) => {
    const mark = /** @type {HTMLElement | null} */ (item.querySelector(".distance"));
    if (!mark) return Infinity;
    const lat = Number(mark.dataset.lat), lon = Number(mark.dataset.lon);
    // Within a city the earth is flat enough.
    const north = (lat - here.coords.latitude) * 111_195;
    const east = (lon - here.coords.longitude) * 111_195 * Math.cos((lat * Math.PI) / 180);
    const away = Math.hypot(north, east);
    mark.textContent = away < 950 ? `${Math.round(away / 10) * 10} m` : `${(away / 1000).toFixed(1)} km`;
    return away;
  };
  for (const list of document.querySelectorAll("ol.crew-list")) {
    const sorted = [...list.children].map((item) => ({ item, away: metres(item) }));
    sorted.sort((a, b) => a.away - b.away);
    list.append(...sorted.map((row) => row.item));
  }
}
