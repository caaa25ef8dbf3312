// Short ways to make and find elements; values become text or attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

const at = (id) => document.getElementById(id);

function element(name, attributes = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, children = []) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function counted(number, one, many) { return `${number.toLocaleString("en")} ${number === 1 ? one : many}`; }

function short(value) { return String(Number(value.toPrecision(3))); }
