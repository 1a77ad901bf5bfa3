// The search: every candidate, what fewer steps can do, what all can do, and the rows that were judged.
"use strict";
function stairs(points, x, y) {
  const front = paretoFront(points).map((one) => [x(one.cost), y(one.quality)]);
  return "M" + front.map(([px, py], index) => (index ? `H${px}V${py}` : `${px} ${py}`)).join("");
}

function drawLimit(svg, plot, name, vertical, at) {
  const ends = vertical ? { x1: at, x2: at, y1: plot.top, y2: plot.bottom } : { x1: plot.left, x2: plot.right, y1: at, y2: at };
  svgElement("line", { class: "limit", ...ends }, svg);
  const place = vertical
    ? { x: at - 4, y: plot.bottom - 6, "text-anchor": "end" } : { x: plot.left + 4, y: at - 4, "text-anchor": "start" };
  svgElement("text", { class: "limit-name", ...place }, svg, name);
}

function drawFront(parent, quality, width) {
  const { points, judged, reference, budget } = data.front;
  const seen = (one) => ({ ...one, cost: one.seconds, quality: one.values[quality.key], error: one.errors[quality.key] });
  const known = (list) => list.filter((one) => one.values[quality.key] !== undefined).map(seen).map((one) => ({ ...one, loss: -one.quality }));
  const searched = known(points), rows = known(judged), all = [...searched, ...rows];
  if (all.length === 0) {
    parent.append("No candidate has this score.");
    return;
  }
  const values = all.flatMap((one) => [one.quality - (rows.includes(one) ? one.error || 0 : 0), one.quality + (rows.includes(one) ? one.error || 0 : 0)]);
  const limits = [reference, ...(budget && budget.seconds ? [budget.seconds] : [])];
  const { svg, plot, x, y } = frame(parent, {
    width, height: Math.max(340, Math.min(480, width * 0.5)),
    xDomain: [0, Math.max(...all.map((one) => one.cost), ...limits) * 1.05],
    yDomain: padded(Math.min(...values), Math.max(...values), 0.1),
    xTitle: "seconds an image", yTitle: quality.title,
    label: `${quality.title} against seconds an image, one mark per candidate; the table has the numbers of those that were judged`,
  });
  drawLimit(svg, plot, "your settings", true, x(reference));
  if (budget && budget.seconds) drawLimit(svg, plot, budget.text, true, x(budget.seconds));
  if (budget && budget.psnr && quality.key === "psnr") drawLimit(svg, plot, budget.text, false, y(budget.psnr));
  const whole = searched.filter((one) => one.whole);
  const stock = whole.filter((one) => !one.propagated);
  if (stock.length) svgElement("path", { class: "bar-front", d: stairs(stock, x, y) }, svg);
  if (whole.length) svgElement("path", { class: "front", d: stairs(whole, x, y) }, svg);
  for (const one of searched) {
    const group = svgElement("g", { class: one.whole ? "searched" : "searched pale" }, svg);
    drawPoint(group, { ...one, error: 0, x: x(one.cost), y: y(one.quality) }, y);
  }
  for (const one of rows) {
    one.name = one.letter + ": " + one.name;
    Object.assign(one, { x: x(one.cost), y: y(one.quality) });
    drawPoint(svg, one, y);
  }
  drawLabels(svg, rows.map((one) => ({ ...one, name: one.letter })), [], plot, true);
}

const wanted = document.getElementById("front-quality");
data.front.qualities.forEach((one, index) => wanted.append(new Option(one.title, String(index))));
const chart = document.getElementById("front-chart");
const draw = (width) => drawFront(chart, data.front.qualities[Number(wanted.value)], width);
fitted(chart, draw);
wanted.addEventListener("change", () => { chart.replaceChildren(); draw(Math.floor(chart.clientWidth)); });
