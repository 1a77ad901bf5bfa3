// A blind vote: order and sides are drawn from the voter's own seed, which the exported file records.
"use strict";
const study = JSON.parse(document.getElementById("data").textContent);
const storageKey = `fdplug-votes:${study.study}`;
const byId = (id) => document.getElementById(id);

// mulberry32: numbers in [0, 1) from a seed of 32 bits.
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// The pairs in the voter's order (Fisher and Yates), each with its sides.
function arranged(seed) {
  const draw = random(seed);
  const pairs = [...study.pairs];
  for (let index = pairs.length - 1; index > 0; index -= 1) {
    const other = Math.floor(draw() * (index + 1));
    [pairs[index], pairs[other]] = [pairs[other], pairs[index]];
  }
  return pairs.map((pair) => {
    const [left, right] = draw() < 0.5 ? pair.pictures : [...pair.pictures].reverse();
    return { ...pair, left, right };
  });
}

function newVoter() {
  return { seed: crypto.getRandomValues(new Uint32Array(1))[0], started: new Date().toISOString(), votes: [] };
}

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(storageKey));
    if (kept && Number.isInteger(kept.seed) && Array.isArray(kept.votes) && kept.votes.length <= study.pairs.length) return kept;
  } catch (error) { /* storage that is switched off, or was written by something else: begin anew */ }
  return newVoter();
}

function save() {
  try { localStorage.setItem(storageKey, JSON.stringify(voter)); } catch (error) { /* without storage there is no resume */ }
}

let voter = load();
let order = arranged(voter.seed);
let since = performance.now();

function show() {
  const done = voter.votes.length, total = order.length;
  byId("progress").value = done;
  byId("count").textContent = `${done} of ${total} answered`;
  byId("question").hidden = done >= total;
  byId("done").hidden = done < total;
  byId("back").disabled = done === 0;
  byId("export").disabled = done === 0;
  if (done < total) {
    const pair = order[done];
    byId("caption").textContent = pair.caption;
    byId("left").src = study.pictures[pair.left];
    byId("right").src = study.pictures[pair.right];
  }
  since = performance.now();
}

function vote(choice) {
  const pair = order[voter.votes.length];
  if (!pair) return;
  const seconds = Number(((performance.now() - since) / 1000).toFixed(2));
  voter.votes.push({ pair: pair.id, left: pair.left, right: pair.right, choice, seconds });
  save();
  show();
}

function back() {
  if (voter.votes.pop()) { save(); show(); }
}

function exportVotes() {
  const name = voter.seed.toString(16).padStart(8, "0");
  const content = { format: "fdplug-votes-1", study: study.study, voter: name, ...voter, exported: new Date().toISOString() };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  link.download = `votes-${name}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function restart() {
  if (voter.votes.length && !confirm("Forget these votes and begin as another voter? Export them first.")) return;
  voter = newVoter();
  order = arranged(voter.seed);
  save();
  show();
}

document.querySelectorAll("[data-choice]").forEach((button) => button.addEventListener("click", () => vote(button.dataset.choice)));
byId("back").addEventListener("click", back);
byId("export").addEventListener("click", exportVotes);
byId("restart").addEventListener("click", restart);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const choices = { ArrowLeft: "left", a: "left", ArrowRight: "right", b: "right", ArrowDown: "same", s: "same" };
  const choice = choices[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (choice) { event.preventDefault(); vote(choice); }
  if (event.key === "Backspace") { event.preventDefault(); back(); }
});
save();
show();
