// @ts-check
// Long series: an hour a point; an hour nobody counted is a gap, never zero.

const holder = /** @type {HTMLElement} */ (document.getElementById("series"));
/** @type {{t: number[], v: (number | null)[], label: string, zone: string}} */
const data = JSON.parse(document.getElementById("series-data")?.textContent || "{}");
const Plot = /** @type {any} */ (window).uPlot;
const css = getComputedStyle(document.documentElement);
const ink = css.getPropertyValue("--ink-soft").trim(), line = css.getPropertyValue("--line").trim();

const plot = new Plot({
  width: holder.clientWidth, height: 220,
  tzDate: (/** @type {number} */ seconds) => Plot.tzDate(new Date(seconds * 1000), data.zone),
  legend: { show: false },
  scales: { x: { time: true } },
  series: [{}, { label: data.label, stroke: css.getPropertyValue("--accent").trim(), width: 1.25, spanGaps: false, points: { show: false } }],
  axes: [
    { stroke: ink, grid: { stroke: line, width: 1 }, values: [[86400, "{D}/{M}", null, null, null, null, null, null, 1], [3600, "{HH}:{mm}", "\n{D}/{M}", null, null, null, null, null, 1]] },
    { stroke: ink, grid: { stroke: line, width: 1 } },
  ],
}, [data.t, data.v], holder);
holder.dataset.ready = "true";
new ResizeObserver(() => plot.setSize({ width: holder.clientWidth, height: 220 })).observe(holder);
