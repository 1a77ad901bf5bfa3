// The same arithmetic as the formulas above the table, with the rates that are typed.
"use strict";
const costTable = document.getElementById("cost-table");
const short = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
function estimate() {
  const [power, price, carbon] = ["power", "price", "carbon"].map((id) => Math.max(0, Number(document.getElementById(id).value) || 0));
  for (const row of costTable.tBodies[0].rows) {
    const hours = (10000 * Number(row.dataset.seconds)) / 3600;
    const energy = (hours * power) / 1000;
    const values = { hours, price: hours * price, energy, carbon: (energy * carbon) / 1000 };
    row.querySelectorAll("[data-cost]").forEach((cell) => {
      cell.dataset.value = values[cell.dataset.cost];
      cell.textContent = short(values[cell.dataset.cost]);
    });
  }
}
["power", "price", "carbon"].forEach((id) => document.getElementById(id).addEventListener("input", estimate));
