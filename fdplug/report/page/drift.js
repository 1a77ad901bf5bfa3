// How much each block's output changes from one step to the next.
"use strict";
const driftChart = document.getElementById("drift-chart");
if (driftChart) {
  // Labels at the right end, moved apart so that none covers another.
  const apart = (ends, high) => {
    const sorted = [...ends].sort((a, b) => a.y - b.y);
    sorted.forEach((one, index) => { if (index) one.y = Math.max(one.y, sorted[index - 1].y + 14); });
    for (let index = sorted.length - 1, limit = high; index >= 0; index -= 1, limit -= 14) {
      sorted[index].y = Math.min(sorted[index].y, limit);
    }
    return sorted;
  };
  fitted(driftChart, (width) => {
    const { blocks, steps } = data.drift;
    const most = Math.max(...blocks.flatMap((block) => block.change));
    const { svg, plot, x, y } = frame(driftChart, {
      width, height: Math.max(320, Math.min(430, width * 0.45)), right: 62,
      xDomain: [0, steps], yDomain: [0, most * 1.05],
      xTitle: "step (0 is the noisiest)", yTitle: "relative change since the step before",
      label: "relative change of every block's output, step by step",
    });
    const ends = blocks.map((block) => {
      const points = block.change.map((value, index) => `${x(index + 1).toFixed(1)} ${y(value).toFixed(1)}`);
      const curve = svgElement("path", { class: `curve ${block.half}`, d: `M${points.join("L")}` }, svg);
      svgElement("title", {}, curve, block.name);
      return { block, y: y(block.change[block.change.length - 1]), from: y(block.change[block.change.length - 1]) };
    });
    const end = x(blocks[0].change.length);
    apart(ends, plot.bottom - 4).forEach((one) => {
      svgElement("line", { class: "leader", x1: end + 2, y1: one.from, x2: plot.right + 10, y2: one.y }, svg);
      svgElement("text", { class: `label ${one.block.half}`, x: plot.right + 13, y: one.y + 4 }, svg, one.block.label);
    });
  });
}
