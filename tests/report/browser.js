// What the browser tests ask of a page: the least contrast of its texts, by WCAG 2, and labels that lie on each other.
(() => {
  const channels = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((one) => one / 255).map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = channels(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const visible = (element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility === "visible";
  window.contrasts = () =>
    [...document.querySelectorAll("body *")]
      .filter((one) => !["SCRIPT", "STYLE", "TEMPLATE", "OPTION", "title"].includes(one.tagName) && hasText(one) && visible(one))
      .filter((one) => !one.disabled)
      .map((one) => {
        const style = getComputedStyle(one);
        const colours = [channels(one instanceof SVGElement ? style.fill : style.color), ground(one)].map(luminance);
        return { ratio: (Math.max(...colours) + 0.05) / (Math.min(...colours) + 0.05), text: one.textContent.trim().slice(0, 40) };
      });
  window.overlaps = () => {
    const found = [];
    for (const svg of document.querySelectorAll("figure svg")) {
      const labels = [...svg.querySelectorAll("text.label")].map((one) => [one.textContent, one.getBoundingClientRect()]);
      labels.forEach(([first, a], index) => labels.slice(index + 1).forEach(([second, b]) => {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left), high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 3) found.push(`${first} / ${second}`);
      }));
    }
    return found;
  };
})();
