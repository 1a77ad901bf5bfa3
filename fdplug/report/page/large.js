// One picture over the other, as large as the screen, with a border between them that is drawn to and fro.
"use strict";
const large = document.getElementById("large");
if (large) {
  const under = new Image(), over = new Image(), border = large.querySelector("input");
  const [left, right] = large.querySelectorAll("span");
  const split = () => { over.style.clipPath = `inset(0 0 0 ${border.value}%)`; };
  border.addEventListener("input", split);
  document.getElementById("cards").addEventListener("click", (event) => {
    if (!event.target.closest(".enlarge")) return;
    const figures = event.target.closest(".card").querySelectorAll("figure");
    [[under, left], [over, right]].forEach(([image, name], index) => {
      image.src = figures[index].querySelector("img").src;
      image.alt = figures[index].querySelector("img").alt;
      name.textContent = figures[index].querySelector("figcaption").textContent;
    });
    large.querySelector(".over").replaceChildren(under, over);
    split();
    large.showModal();
  });
}
