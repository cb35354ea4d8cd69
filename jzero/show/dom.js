// Elements, shapes and pictures of a page.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function shape(tag, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

// A picture alone, as in the tree; or the position in words.
export function picture(board, label) {
  if (board.text) return element("pre", { class: "jz-words", "aria-label": label }, board.text);
  const image = element("img", { class: "jz-picture", alt: label, src: board.url ?? "", draggable: "false" });
  if (!board.url) image.hidden = true;
  return image;
}
