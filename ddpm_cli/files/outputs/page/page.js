"use strict";
document.documentElement.classList.add("js");

// Sheets: each run shows its newest one at the chosen step, or its first.
const knob = document.getElementById("at-step");
if (knob) {
  const steps = knob.dataset.steps.split(" ").map(Number);
  const choose = () => {
    const step = steps[Number(knob.value)];
    document.getElementById("chosen-step").textContent = "step " + step;
    knob.setAttribute("aria-valuetext", "step " + step);
    for (const strip of document.querySelectorAll(".strip")) {
      const sheets = [...strip.querySelectorAll(".sheet")];
      const before = sheets.filter((sheet) => Number(sheet.dataset.step) <= step);
      const shown = before.length ? before[before.length - 1] : sheets[0];
      for (const sheet of sheets) sheet.classList.toggle("shown", sheet === shown);
    }
  };
  knob.addEventListener("input", choose);
  choose();
}

// Charts: the values at the pointer, or where the arrow keys lead.
const number = (value) => Number(value.toPrecision(4)).toLocaleString("en", {
  maximumSignificantDigits: 4, notation: Math.abs(value) < 1e-4 && value ? "scientific" : "standard",
});
for (const svg of document.querySelectorAll(".chart svg[role]")) {
  const [x0, x1, left, right] = svg.dataset.x.split(" ").map(Number);
  const [y0, y1, bottom, top] = svg.dataset.y.split(" ").map(Number);
  const isLog = "log" in svg.dataset;
  const readout = svg.closest(".chart").querySelector(".readout");
  const cursor = svg.querySelector(".cursor");
  const toX = (px) => x0 + (px - left) / (right - left) * (x1 - x0);
  const toY = (py) => {
    const share = (py - bottom) / (top - bottom);
    if (!isLog) return y0 + share * (y1 - y0);
    return Math.exp(Math.log(y0) + share * (Math.log(y1) - Math.log(y0)));
  };
  let curves = null;
  let at = right;
  const points = () => curves ??= [...svg.querySelectorAll(".line")].map((line) => ({
    line,
    points: [...line.getAttribute("d").matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)]
      .map((pair) => [Number(pair[1]), Number(pair[2])]),
  }));
  const nearest = (list, px) =>
    list.reduce((best, one) => Math.abs(one[0] - px) < Math.abs(best[0] - px) ? one : best);
  const show = (px) => {
    at = Math.min(Math.max(px, left), right);
    const every = points().filter((one) => one.points.length
      && getComputedStyle(one.line).display !== "none");
    if (!every.length) return;
    at = nearest(every.flatMap((one) => one.points), at)[0];
    cursor.setAttribute("transform", "translate(" + at + " 0)");
    cursor.classList.add("on");
    const told = every.map((one) => one.line.dataset.name + " " + number(toY(nearest(one.points, at)[1])));
    const where = svg.dataset.over === "steps" ? "step " + number(Math.round(toX(at))) : number(toX(at)) + " min";
    readout.textContent = where + ": " + told.join(" · ");
  };
  const hide = () => { cursor.classList.remove("on"); readout.textContent = ""; };
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    show((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width);
  };
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerdown", follow);
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -4, ArrowRight: 4, Home: -1e6, End: 1e6 }[event.key];
    if (!way) return;
    event.preventDefault();
    const places = points().flatMap((one) => one.points.map((point) => point[0]));
    const there = places.filter((x) => way > 0 ? x > at + 0.01 : x < at - 0.01).sort((a, b) => a - b);
    if (Math.abs(way) > 100) show(way); else if (there.length) show(way > 0 ? there[0] : there[there.length - 1]);
  });
}
