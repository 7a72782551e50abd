// @ts-check
// The map of luminaires by state: our own streets and lamps on a blank ground, nothing from outside.

/**
 * @typedef {{states: string[], luminaires: {id: string[], name: string[], lon: number[], lat: number[],
 *   state: number[], kind: string[], reason: string[], order: (number | null)[]},
 *   segments: {id: string, line: [number, number][]}[], labels: {text: string, lon: number, lat: number}[],
 *   left_out: number}} MapData
 */

const holder = /** @type {HTMLElement} */ (document.getElementById("map"));
const words = JSON.parse(document.getElementById("map-words")?.textContent || "{}");

/** @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/**
 * A mark as pixels: the same shapes as in the legend, so that colour is only a third sign.
 * @param {string} shape
 * @param {string} ink
 */
function drawn(shape, ink) {
  const side = 48, canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.fillStyle = pen.strokeStyle = ink;
  pen.lineWidth = 6;
  pen.beginPath();
  if (shape === "ok") pen.arc(24, 24, 12, 0, 7);
  if (shape === "faulty") { pen.moveTo(24, 3); pen.lineTo(46, 43); pen.lineTo(2, 43); pen.closePath(); }
  if (shape === "planned") pen.rect(9, 9, 30, 30);
  if (shape === "unknown") { pen.setLineDash([9, 6]); pen.arc(24, 24, 16, 0, 7); }
  if (shape === "tunnel") { pen.moveTo(24, 3); pen.lineTo(45, 24); pen.lineTo(24, 45); pen.lineTo(3, 24); pen.closePath(); }
  if (shape === "counter") { pen.moveTo(24, 8); pen.lineTo(24, 40); pen.moveTo(8, 24); pen.lineTo(40, 24); }
  if (shape === "planned" || shape === "unknown" || shape === "counter") pen.stroke(); else pen.fill();
  if (shape === "faulty") {
    pen.strokeStyle = colour("sheet"); pen.lineWidth = 5; pen.setLineDash([]);
    pen.beginPath(); pen.moveTo(24, 17); pen.lineTo(24, 28); pen.moveTo(24, 33); pen.lineTo(24, 38); pen.stroke();
  }
  return pen.getImageData(0, 0, side, side);
}

/** @param {MapData} data @returns {any} */
function luminairesOf(data) {
  const { id, name, lon, lat, state, kind, reason, order } = data.luminaires;
  const features = id.map((device, n) => {
    const shown = data.states[state[n]];
    const shape = kind[n] === "luminaire" ? shown : kind[n];
    return {
      type: "Feature", geometry: { type: "Point", coordinates: [lon[n], lat[n]] },
      properties: {
        device, name: name[n], state: shown, kind: kind[n], reason: reason[n], order: order[n],
        icon: kind[n] === "luminaire" ? shown : `${shape}-${shown}`,
        rank: { ok: 0, planned: 1, unknown: 2, faulty: 3 }[shown] ?? 0,
      },
    };
  });
  return { type: "FeatureCollection", features };
}

/** @param {MapData} data @returns {any} */
function segmentsOf(data) {
  return {
    type: "FeatureCollection",
    features: data.segments.map((s) => ({
      type: "Feature", geometry: { type: "LineString", coordinates: s.line }, properties: { id: s.id },
    })),
  };
}

/** Of two names that would cover each other, the second is not shown. */
function withoutOverlap() {
  /** @type {DOMRect[]} */
  const taken = [];
  for (const label of /** @type {NodeListOf<HTMLElement>} */ (holder.querySelectorAll(".map-label"))) {
    const box = label.getBoundingClientRect();
    const hidden = taken.some((t) => box.left < t.right && t.left < box.right && box.top < t.bottom && t.top < box.bottom);
    label.style.visibility = hidden ? "hidden" : "";
    if (!hidden) taken.push(box);
  }
}

/** @typedef {[[number, number], [number, number]]} Box */

/** @param {MapData} data @param {number} rest Share left out on each side. @param {number} margin @returns {Box} */
function boundsOf(data, rest, margin) {
  const { lon, lat } = data.luminaires;
  const at = (/** @type {number[]} */ v, /** @type {number} */ q) => [...v].sort((a, b) => a - b)[Math.round(q * (v.length - 1))];
  const [w, s, e, n] = [at(lon, rest), at(lat, rest), at(lon, 1 - rest), at(lat, 1 - rest)];
  const x = (e - w) * margin, y = (n - s) * margin;
  return [[w - x, s - y], [e + x, n + y]];
}

/** @param {MapData} data @param {Box} box How many stand outside of it. */
function outsideOf(data, [[w, s], [e, n]]) {
  const { lon, lat } = data.luminaires;
  return lon.filter((x, i) => x < w || x > e || lat[i] < s || lat[i] > n).length;
}

/**
 * A far suburb would shrink the city to a spot: begin with most of it, say how many are left out,
 * and show them at a press.
 * @param {any} map @param {MapData} data @param {number} outside
 */
function wayToAll(map, data, outside) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet map-all";
  button.textContent = words.outside.replace("{n}", String(outside));
  button.addEventListener("click", () => {
    map.fitBounds(boundsOf(data, 0, 0), { padding: 28 });
    button.remove();
  });
  holder.append(button);
}

/** What is asked for: everything, or this box where everything is too much to draw. */
let box = "";

/** @returns {Promise<MapData>} */
async function fetched() {
  const answer = await fetch(`${holder.dataset.source}${box && `?bbox=${box}`}`);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

/** @param {any} map */
function refresh(map) {
  fetched().then((fresh) => {
    map.getSource("luminaires")?.setData(luminairesOf(fresh));
    map.getSource("segments")?.setData(segmentsOf(fresh));
  }).catch(() => undefined);
}

/** What is in view, to a hundred metres: near views are the same question. @param {any} map */
function viewOf(map) {
  const b = map.getBounds(), out = 0.001;
  return [b.getWest() - out, b.getSouth() - out, b.getEast() + out, b.getNorth() + out].map((v) => v.toFixed(3)).join(",");
}

/** Say in words what the map would have shown, with the way to the list. */
function withoutMap() {
  const text = document.createElement("p");
  text.className = "pad";
  text.textContent = `${words.no_map} `;
  const link = document.createElement("a");
  link.href = "/luminaires?show=faulty";
  link.textContent = words.list;
  text.append(link);
  holder.replaceChildren(text);
  holder.dataset.ready = "list";
}

/** @param {any} properties */
function popupOf(properties) {
  const box = document.createElement("div");
  box.className = "popup";
  const title = document.createElement("strong");
  title.textContent = properties.name;
  const state = document.createElement("span");
  state.textContent = [words.states[properties.state], words.reasons[properties.reason]].filter(Boolean).join(" · ");
  box.append(title, state);
  if (properties.order) {
    const link = document.createElement("a");
    link.href = `/orders/${properties.order}`;
    link.textContent = `${words.order} #${properties.order}`;
    box.append(document.createElement("br"), link);
  }
  return box;
}

async function show() {
  const probe = document.createElement("canvas");
  if (!probe.getContext("webgl2") && !probe.getContext("webgl")) return withoutMap();
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = holder.dataset.style || "";
  document.head.append(style);
  const [library, data] = await Promise.all([import(holder.dataset.library || ""), fetched()]);
  if (!data.luminaires.id.length) {
    /** @type {HTMLElement} */ (document.getElementById("map-wait")).textContent = words.empty;
    holder.dataset.ready = "empty";
    return;
  }
  library.setWorkerUrl(holder.dataset.worker);
  const wait = document.getElementById("map-wait");
  const core = boundsOf(data, 0.1, 0.3), outside = outsideOf(data, core);
  const map = new library.Map({
    container: holder, bounds: outside ? core : boundsOf(data, 0, 0), fitBoundsOptions: { padding: 28 },
    attributionControl: false, dragRotate: false, pitchWithRotate: false, maxZoom: 19,
    cooperativeGestures: matchMedia("(pointer: coarse)").matches, locale: words.gestures,
    style: { version: 8, sources: {}, layers: [{ id: "ground", type: "background", paint: { "background-color": colour("map") } }] },
  });
  map.addControl(new library.NavigationControl({ showCompass: false }), "top-right");
  map.addControl(new library.ScaleControl(), "bottom-left");
  map.once("load", () => {
    if (holder.dataset.tiles) {
      map.addSource("tiles", { type: "raster", tiles: [holder.dataset.tiles], tileSize: 256 });
      map.addLayer({ id: "tiles", type: "raster", source: "tiles", paint: { "raster-opacity": 0.6 } });
    }
    for (const state of ["ok", "faulty", "unknown", "planned"]) {
      map.addImage(state, drawn(state, colour(state)), { pixelRatio: 2 });
      for (const kind of ["tunnel", "counter"]) {
        map.addImage(`${kind}-${state}`, drawn(kind, colour(state === "ok" ? "ink" : state)), { pixelRatio: 2 });
      }
    }
    map.addSource("segments", { type: "geojson", data: segmentsOf(data) });
    map.addSource("luminaires", { type: "geojson", data: luminairesOf(data) });
    map.addLayer({
      id: "segments", type: "line", source: "segments", layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": colour("street"), "line-width": ["interpolate", ["linear"], ["zoom"], 11, 2, 16, 7] },
    });
    map.addLayer({
      id: "halo", type: "circle", source: "luminaires", filter: ["==", ["get", "state"], "faulty"],
      paint: { "circle-color": colour("faulty"), "circle-opacity": 0.16, "circle-radius": ["interpolate", ["linear"], ["zoom"], 11, 9, 16, 22] },
    });
    map.addLayer({
      id: "luminaires", type: "symbol", source: "luminaires",
      layout: {
        "icon-image": ["get", "icon"], "icon-allow-overlap": true, "icon-ignore-placement": true,
        "symbol-sort-key": ["get", "rank"],
        "icon-size": ["interpolate", ["linear"], ["zoom"],
          11, ["match", ["get", "state"], "ok", 0.32, "faulty", 0.6, 0.5], 16, ["match", ["get", "state"], "ok", 0.8, 1]],
      },
    });
    for (const label of data.labels) {
      const name = document.createElement("span");
      name.className = "map-label";
      name.textContent = label.text;
      new library.Marker({ element: name, anchor: "bottom" }).setLngLat([label.lon, label.lat]).addTo(map);
    }
    map.on("click", "luminaires", (/** @type {any} */ event) => {
      const feature = event.features[0];
      new library.Popup({ closeButton: true, maxWidth: "280px" })
        .setLngLat(feature.geometry.coordinates).setDOMContent(popupOf(feature.properties)).addTo(map);
    });
    map.on("mouseenter", "luminaires", () => { map.getCanvas().style.cursor = "pointer"; });
    map.on("mouseleave", "luminaires", () => { map.getCanvas().style.cursor = ""; });
    map.on("moveend", withoutOverlap);
    if (data.left_out) map.on("moveend", () => { box = viewOf(map); refresh(map); });
    if (outside) wayToAll(map, data, outside);
    map.once("idle", () => {
      withoutOverlap(); wait?.remove(); holder.dataset.ready = "map"; });
  });
  document.addEventListener("ljusvakt:changed", () => refresh(map));
}

show().catch(withoutMap);
