// Quality against cost: points, the front of those that nothing beats, and labels that keep out of each other's way.
"use strict";
function paretoFront(points) {
  const beaten = (one) => points.some((other) =>
    other.cost <= one.cost && other.loss <= one.loss && (other.cost < one.cost || other.loss < one.loss));
  return points.filter((one) => !beaten(one)).sort((a, b) => a.cost - b.cost || a.loss - b.loss);
}

function overlap(a, b) {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return width > 0 && height > 0 ? width * height : 0;
}

// The box around a straight line.
function box(x1, y1, x2, y2) {
  return { x: Math.min(x1, x2) - 1, y: Math.min(y1, y2) - 1, width: Math.abs(x2 - x1) + 2, height: Math.abs(y2 - y1) + 2 };
}

// The box for a label of this size that covers least; nearer places are tried first.
function place(point, size, taken, plot) {
  let best = null;
  for (const distance of [9, 20, 34, 50, 68, 90, 115, 145]) {
    for (let turn = 0; turn < 16; turn += 1) {
      const angle = (turn * Math.PI) / 8;
      const x = point.x + Math.cos(angle) * distance + (Math.cos(angle) - 1) * size.width / 2;
      const y = point.y - Math.sin(angle) * distance - size.height / 2;
      const label = { x, y, ...size };
      if (x < plot.left + 2 || x + size.width > plot.right || y < plot.top - 12 || y + size.height > plot.bottom - 2) continue;
      const covered = taken.reduce((sum, other) => sum + overlap(label, other), 0);
      if (covered === 0) return label;
      if (best === null || covered < best.covered) best = { ...label, covered };
    }
  }
  return best || { x: point.x, y: point.y, ...size };
}

// `lines` are boxes of what labels should not lie on besides the marks.
function drawLabels(svg, points, lines, plot, named) {
  const taken = [...points.map((one) => ({ x: one.x - 7, y: one.y - 7, width: 14, height: 14 })), ...lines];
  const order = [...points].sort((a, b) => a.y - b.y || a.x - b.x);
  for (const one of order) {
    const text = svgElement("text", { class: "label" }, svg, named ? one.name : String(one.number));
    const size = { width: text.getComputedTextLength() + 4, height: 15 };
    const label = place(one, size, taken, plot);
    taken.push(label);
    text.setAttribute("x", label.x + 2);
    text.setAttribute("y", label.y + 11.5);
    const end = {
      x: Math.max(label.x, Math.min(one.x, label.x + label.width)),
      y: Math.max(label.y, Math.min(one.y, label.y + label.height)),
    };
    if (Math.hypot(end.x - one.x, end.y - one.y) > 12) {
      svgElement("line", { class: "leader", x1: one.x, y1: one.y, x2: end.x, y2: end.y }, svg);
    }
  }
}

function drawPoint(svg, one, y) {
  const kind = one.propagated ? "propagated" : "plain";
  const group = svgElement("g", { class: kind }, svg);
  if (one.error) {
    svgElement("line", { class: "bar", x1: one.x, x2: one.x, y1: y(one.quality - one.error), y2: y(one.quality + one.error) }, group);
  }
  const shape = one.propagated
    ? svgElement("path", { class: kind, d: `M${one.x} ${one.y - 6.5}l6.5 6.5-6.5 6.5-6.5-6.5z` }, group)
    : svgElement("circle", { class: kind, cx: one.x, cy: one.y, r: 5 }, group);
  svgElement("title", {}, shape, `${one.name}: ${one.quality.toPrecision(4)} at ${one.cost.toPrecision(4)}`);
}

function drawPareto(parent, quality, cost, width) {
  const sign = quality.better === "more" ? -1 : 1;
  const points = data.pareto.points
    .map((one, index) => ({
      ...one, number: index + 1, cost: one.values[cost.key], quality: one.values[quality.key], error: one.errors[quality.key],
    }))
    .filter((one) => one.cost !== undefined && one.quality !== undefined)
    .map((one) => ({ ...one, loss: sign * one.quality }));
  if (points.length === 0) {
    parent.append("No variant has this score.");
    return;
  }
  const lows = points.map((one) => one.quality - (one.error || 0)), highs = points.map((one) => one.quality + (one.error || 0));
  const { svg, plot, x, y } = frame(parent, {
    width, height: Math.max(320, Math.min(420, width * 0.75)),
    xDomain: [0, Math.max(...points.map((one) => one.cost)) * 1.1],
    yDomain: padded(Math.min(...lows), Math.max(...highs), 0.12),
    xTitle: cost.title, yTitle: `${quality.title} (${quality.better} is better)`,
    label: `${quality.title} against ${cost.title}, one mark per variant; the table has the numbers`,
  });
  const front = paretoFront(points).map((one) => [x(one.cost), y(one.quality)]);
  svgElement("path", { class: "front", d: "M" + front.map(([px, py], index) => (index ? `H${px}V${py}` : `${px} ${py}`)).join("") }, svg);
  const lines = front.slice(1).flatMap(([px, py], index) => {
    const [fromX, fromY] = front[index];
    return [box(fromX, fromY, px, fromY), box(px, fromY, px, py)];
  });
  for (const one of points) {
    one.x = x(one.cost);
    one.y = y(one.quality);
    drawPoint(svg, one, y);
    if (one.error) lines.push(box(one.x, y(one.quality - one.error), one.x, y(one.quality + one.error)));
  }
  drawLabels(svg, points, lines, plot, width >= 400);
}

const choice = document.getElementById("quality");
if (choice) {
  const charts = document.getElementById("pareto-charts");
  data.pareto.qualities.forEach((one, index) => choice.append(new Option(one.title, String(index))));
  const drawAll = (width) => {
    const quality = data.pareto.qualities[Number(choice.value)];
    const single = width < 980 ? width : (width - 16) / 2;
    data.pareto.costs.forEach((cost) => {
      const figure = document.createElement("figure");
      charts.append(figure);
      drawPareto(figure, quality, cost, Math.floor(single));
    });
    if (single < 400) {
      const list = document.createElement("ol");
      list.className = "numbers";
      data.pareto.points.forEach((one) => list.append(Object.assign(document.createElement("li"), { textContent: one.name })));
      charts.append(list);
    }
    const absent = data.pareto.points.filter((one) => one.values[quality.key] === undefined).map((one) => one.name);
    document.getElementById("pareto-note").textContent = absent.length
      ? `Not in the chart, for they have no ${quality.title}: ${absent.join(", ")}.` : "";
  };
  fitted(charts, drawAll);
  choice.addEventListener("change", () => { charts.replaceChildren(); drawAll(Math.floor(charts.clientWidth)); });
}
