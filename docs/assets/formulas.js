// The papers' pages are plain text that reads well as it stands: x^i, Att^{i,j}, softmax_j, H~^i. Here they get their
// raised and lowered letters. Code is left alone, and a reader without scripts sees the text.
(() => {
  const MARK = /(\^|_)(\{[^{}]*\}|[-+]|[\p{L}\p{N}]+'?)/gu;
  const HATS = { "~": "\u0303", "^": "\u0302" };

  function typeset(node) {
    const text = node.data.replace(/(\p{L})([~^])(?=[\s^_,.;:()[\]]|$)/gu, (_, letter, hat) => letter + HATS[hat]);
    const parts = [];
    let from = 0;
    for (const found of text.matchAll(MARK)) {
      parts.push(text.slice(from, found.index));
      const part = document.createElement(found[1] === "^" ? "sup" : "sub");
      part.textContent = found[2].replace(/^\{|\}$/g, "");
      parts.push(part);
      from = found.index + found[0].length;
    }
    if (text !== node.data || parts.length) node.replaceWith(...parts, text.slice(from));
  }

  if (/\/papers\//.test(location.pathname)) {
    const page = document.querySelector("article");
    const walker = document.createTreeWalker(page, NodeFilter.SHOW_TEXT);
    const nodes = [];
    while (walker.nextNode()) if (!walker.currentNode.parentElement.closest("code, pre, h1")) nodes.push(walker.currentNode);
    nodes.forEach(typeset);
  }
})();
