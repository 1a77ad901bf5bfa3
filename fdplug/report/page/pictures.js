// Cards: the un-accelerated picture, the variant's, and their amplified difference, made by blending in the browser.
"use strict";
const chosen = document.getElementById("variant");
if (chosen) {
  const { album, shown, captions } = data.pictures;
  const cards = document.getElementById("cards"), gain = document.getElementById("gain");
  const dB = (value) => (value === null ? "identical" : `PSNR ${value.toFixed(1)} dB`);
  const marked = (name, wrong) => (wrong === null ? name : `${name} ${wrong.length ? "✗" : "✓"}`);
  const verdict = (wrong, paragraph) => {
    if (wrong === null) return;
    const span = document.createElement("span");
    span.className = wrong.length ? "bad" : "good";
    span.textContent = wrong.length ? `✗ wrong: ${wrong.join(", ")}` : "✓ as captioned";
    paragraph.append(" · ", span);
  };
  const card = (one, own, against) => {
    const node = document.getElementById("card").content.firstElementChild.cloneNode(true);
    const caption = captions[one.caption];
    node.querySelector("h4").textContent = caption;
    const [base, variant, difference] = node.querySelectorAll("figure");
    base.querySelector("img").src = album[one.against];
    base.querySelector("img").alt = `${against}: ${caption}`;
    base.querySelector("figcaption").textContent = marked(against, one.against_wrong);
    variant.querySelector("img").src = album[one.own];
    variant.querySelector("img").alt = `${own}: ${caption}`;
    variant.querySelector("figcaption").textContent = marked(own, one.own_wrong);
    const [first, second] = difference.querySelectorAll("img");
    first.src = album[one.against];
    second.src = album[one.own];
    difference.querySelector(".difference").setAttribute("aria-label", `difference, ${dB(one.psnr)}`);
    const paragraph = node.querySelector("p");
    paragraph.textContent = `${dB(one.psnr)} · SSIM ${one.ssim.toFixed(3)}`;
    verdict(one.own_wrong, paragraph);
    return node;
  };
  const amplify = () => {
    document.getElementById("gain-value").textContent = `${gain.value}x`;
    cards.querySelectorAll(".difference").forEach((node) => { node.style.filter = `brightness(${gain.value})`; });
    cards.querySelectorAll("figure:last-child figcaption").forEach((node) => { node.textContent = `difference ${gain.value}x`; });
  };
  const draw = () => {
    const { name, against, pictures } = shown[Number(chosen.value)];
    const loss = (one) => (one.psnr === null ? Infinity : one.psnr);
    const ordered = document.getElementById("order").value === "change" ? [...pictures].sort((a, b) => loss(a) - loss(b)) : pictures;
    cards.replaceChildren(...ordered.map((one) => card(one, name, against)));
    amplify();
  };
  shown.forEach((one, index) => chosen.append(new Option(`${one.name} (beside ${one.against})`, String(index))));
  const first = shown.findIndex((one) => one.propagated);
  chosen.value = String(Math.max(first, 0));
  chosen.addEventListener("change", draw);
  document.getElementById("order").addEventListener("change", draw);
  gain.addEventListener("input", amplify);
  draw();
}
