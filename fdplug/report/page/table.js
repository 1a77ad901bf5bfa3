// Tables whose heads sort them. Cells without a value stay at the end.
"use strict";
function sortTable(table, index, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const valueOf = (row) => {
    const text = row.cells[index].dataset.value;
    if (text === "") return null;
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  };
  const compare = (first, second) => {
    const a = valueOf(first), b = valueOf(second);
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a === b ? 0 : a < b ? -1 : 1);
    return sign * String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const body = table.tBodies[0];
  [...body.rows].sort(compare).forEach((row) => body.append(row));
}

document.querySelectorAll("table[data-sortable]").forEach((table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => {
    head.querySelector("button").addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", direction);
      sortTable(table, index, direction);
    });
  });
});

// Boxes to tick: which columns are shown.
document.querySelectorAll("table[data-choosable]").forEach((table) => {
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    if (index === 0) return;
    const label = document.createElement("label"), box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    label.append(box, head.textContent.trim());
    document.querySelector("#columns .controls").append(label);
    box.addEventListener("change", () => { [...table.rows].forEach((row) => { row.cells[index].hidden = !box.checked; }); });
  });
});
