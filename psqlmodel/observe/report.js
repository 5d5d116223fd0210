"use strict";
const tip = document.getElementById("tip");
for (const hit of document.querySelectorAll("[data-tip]")) {
  hit.addEventListener("mousemove", (event) => {
    tip.textContent = hit.dataset.tip;
    tip.style.display = "block";
    tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = Math.max(8, Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)) + "px";
  });
  hit.addEventListener("mouseleave", () => { tip.style.display = "none"; });
}
const reveal = (row) => {
  if (row && row.dataset.run) toggle(row.dataset.run, true);
  for (const other of document.querySelectorAll("tr.seen")) other.classList.remove("seen");
  if (row) { row.classList.add("seen"); row.scrollIntoView({ block: "center" }); }
};
const toggle = (run, shown) => {
  for (const row of document.querySelectorAll(`tr[data-run="${run}"]`)) row.hidden = shown === undefined ? !row.hidden : !shown;
};
for (const link of document.querySelectorAll("a[data-row]")) {
  link.addEventListener("click", (event) => { event.preventDefault(); reveal(document.getElementById(link.dataset.row)); });
}
for (const more of document.querySelectorAll("tr.more")) {
  more.addEventListener("click", () => toggle(more.dataset.more));
}
const zoom = document.getElementById("zoom");
if (zoom) zoom.addEventListener("input", () => document.querySelector(".lanes").style.setProperty("--zoom", 2 ** zoom.value));
