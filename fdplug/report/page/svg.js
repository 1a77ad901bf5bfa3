// Small helpers for charts: elements, scales, axes.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);

function svgElement(name, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

// Round numbers within [low, high], about `count` of them.
function ticks(low, high, count) {
  const rough = (high - low || Math.abs(high) || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((one) => one * power >= rough * 0.7) * power;
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) {
    found.push(Number((index * step).toPrecision(10)));
  }
  return found;
}

// [low, high] with some room around; the room never crosses zero.
function padded(low, high, share) {
  const room = (high - low || Math.abs(high) || 1) * share;
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}

function scale(domain, range) {
  return (value) => range[0] + ((value - domain[0]) / (domain[1] - domain[0])) * (range[1] - range[0]);
}

// A frame with axes over two domains; returns the svg and the two scales.
function frame(parent, { width, height, left = 52, right = 14, xDomain, yDomain, xTitle, yTitle, label }) {
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, parent);
  const plot = { left, right: width - right, top: 28, bottom: height - 44 };
  const x = scale(xDomain, [plot.left, plot.right]);
  const y = scale(yDomain, [plot.bottom, plot.top]);
  const xs = ticks(...xDomain, width < 420 ? 4 : 6), ys = ticks(...yDomain, 5);
  for (const value of ys) {
    svgElement("line", { class: "grid", x1: plot.left, x2: plot.right, y1: y(value), y2: y(value) }, svg);
    svgElement("text", { class: "quiet", x: plot.left - 7, y: y(value) + 4, "text-anchor": "end" }, svg, String(value));
  }
  for (const value of xs) {
    svgElement("line", { class: "axis", x1: x(value), x2: x(value), y1: plot.bottom, y2: plot.bottom + 4 }, svg);
    svgElement("text", { class: "quiet", x: x(value), y: plot.bottom + 18, "text-anchor": "middle" }, svg, String(value));
  }
  svgElement("line", { class: "axis", x1: plot.left, x2: plot.right, y1: plot.bottom, y2: plot.bottom }, svg);
  svgElement("text", { x: (plot.left + plot.right) / 2, y: height - 6, "text-anchor": "middle" }, svg, xTitle);
  svgElement("text", { x: 4, y: 14 }, svg, yTitle);
  return { svg, plot, x, y };
}

// Call `draw(width)` now and whenever the element's width changes.
function fitted(element, draw) {
  let last = 0;
  new ResizeObserver(() => {
    const width = Math.floor(element.clientWidth);
    if (width > 0 && width !== last) {
      last = width;
      element.replaceChildren();
      draw(width);
    }
  }).observe(element);
}
