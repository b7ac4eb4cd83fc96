// Everything that comes from the data is put in by textContent or as a data: picture, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const { samples, layers, factors } = data;
const by = (id) => document.getElementById(id);
const make = (tag, props = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), props);
  made.append(...children);
  return made;
};
const shortly = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : value);
const url = (bytes) => "data:image/webp;base64," + bytes;
const on = new Set(layers.flatMap((layer, i) => (layer.on ? [i] : [])));

// Pictures: the image, maps over it, one canvas for all marks.
const marks = (canvas, sample) => {
  const pen = canvas.getContext("2d"), factor = canvas.width / sample.size[0];
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.lineJoin = "round";
  for (const i of on) for (const [shape, colour, size, places] of (layers[i].kind === "marks" && sample.layers[i]) || []) {
    const thick = Math.max(factor, 1) * size * Math.max(1, sample.size[0] / 256);
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = shape === "lines" ? thick : Math.max(1, thick / 3);
    for (const at of places) {
      if (shape === "lines") pen.beginPath();
      for (let k = 0; k < at.length; k += 2) {
        const [x, y] = [at[k] * factor, at[k + 1] * factor];
        if (shape === "lines") {
          pen.lineTo(x, y);
          continue;
        }
        pen.beginPath();
        pen.arc(x, y, thick, 0, 7);
        if (shape === "dots") pen.fill(); else pen.stroke();
      }
      if (shape === "lines") pen.stroke();
    }
  }
};
const fill = (box, sample, pixels) => {
  const shown = [...on].filter((i) => layers[i].kind === "map" && sample.layers[i]);
  const picture = make("img", { src: url(sample.image), alt: "sample " + sample.key });
  const maps = shown.map((i) => make("img", { src: url(sample.layers[i]), alt: layers[i].name, className: "map" }));
  box.style.aspectRatio = sample.size.join(" / ");
  const high = Math.round(pixels * sample.size[1] / sample.size[0]);
  const over = make("canvas", { width: pixels, height: high });
  over.setAttribute("aria-hidden", "true");
  marks(over, sample);
  box.replaceChildren(picture, ...maps, over);
};
const words = (sample) => [...on].filter((i) => sample.notes[i]).map((i) => layers[i].name + ": " + sample.notes[i]);

// Groups: samples of one clip and camera share a card, in the order of their frames; without frames, those of one rig.
const moving = samples.some((sample) => sample.clip && sample.clip[1] > 0);
const clips = new Map();
const nameOf = ({ clip }) => (moving ? clip[0] + "/" + clip[2] : clip[0]);
samples.forEach((sample, i) => {
  if (sample.clip) clips.set(nameOf(sample), [...(clips.get(nameOf(sample)) || []), i]);
});
for (const members of clips.values()) members.sort((a, b) => samples[a].clip[1] - samples[b].clip[1] || a - b);
const clipOf = (i) => (samples[i].clip ? clips.get(nameOf(samples[i])) : [i]);
const camerasOf = (i) => [...samples.keys()].filter((k) => [0, 1].every((part) => samples[k].clip?.[part] === samples[i].clip[part]));

// Cards are filled when they first come near the window.
const cards = samples.map((sample, i) => {
  const picture = make("span", { className: "picture", style: "display: block" }), text = make("span", { className: "text" });
  const card = make("button", { type: "button", className: "card" }, picture, text);
  card.setAttribute("aria-label", "open sample " + sample.key);
  card.addEventListener("click", () => open(i));
  picture.style.aspectRatio = sample.size.join(" / ");
  return { card, picture, text, near: false };
});
const paint = (i) => {
  const { picture, text, near } = cards[i], frames = clipOf(i).length;
  if (!near) return;
  fill(picture, samples[i], 360);
  if (frames > 1) picture.append(make("span", { className: "badge", textContent: frames + (moving ? " frames" : " cameras") }));
  text.replaceChildren(make("b", { textContent: samples[i].key }), " " + words(samples[i]).join(" · "));
};
const watch = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) {
    const i = cards.findIndex((each) => each.card === entry.target);
    watch.unobserve(entry.target);
    cards[i].near = true;
    paint(i);
  }
}, { rootMargin: "400px" });
cards.forEach(({ card }) => watch.observe(card));

// Labels.
const redraw = () => {
  cards.forEach((_, i) => paint(i));
  const entries = [...on].flatMap((i) => layers[i].legend);
  by("legend").hidden = !entries.length;
  by("legend").replaceChildren(...entries.map(([colour, name]) => {
    const swatch = make("i");
    swatch.style.background = colour;
    return make("li", {}, swatch, name);
  }));
  if (by("detail").open) enlarge();
};
layers.forEach((layer, i) => {
  const button = make("button", { type: "button", textContent: layer.name, title: layer.about });
  button.setAttribute("aria-pressed", String(on.has(i)));
  button.addEventListener("click", () => {
    if (!on.delete(i)) on.add(i);
    button.setAttribute("aria-pressed", String(on.has(i)));
    redraw();
  });
  by("toggles").append(button);
});
by("opacity").addEventListener("input", (event) => document.body.style.setProperty("--opacity", event.target.value));
by("size").addEventListener("input", (event) => by("grid").style.setProperty("--size", event.target.value + "px"));

// Filters: a range of numbers or a choice of words for each factor whose values differ.
const filters = new Map();
let shown = [];
const values = (f) => samples.map((sample) => sample.values[f]);
const passes = (sample) => [...filters].every(([f, test]) => sample.values[f] !== null && test(sample.values[f]));
const refresh = () => {
  const passing = samples.flatMap((sample, i) => (passes(sample) ? [i] : []));
  const first = new Set();
  shown = passing.filter((i) => {
    const name = clipOf(i)[0];
    return clipOf(i).length < 2 || (!first.has(name) && first.add(name));
  });
  by("grid").replaceChildren(...shown.map((i) => cards[i].card));
  by("count").textContent = passing.length + " of " + samples.length + " samples" + (shown.length < passing.length ? ", " + shown.length + (moving ? " clips" : " rigs") : "");
  by("active").textContent = filters.size ? "(" + filters.size + " set)" : "";
};
const numeric = (box, f) => {
  const known = values(f).filter((value) => value !== null), low = Math.min(...known), high = Math.max(...known);
  const bins = new Array(24).fill(0);
  known.forEach((value) => bins[Math.min(23, Math.floor((value - low) / (high - low) * 24))]++);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 240 34");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const bars = bins.map((count, i) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect"), tall = 34 * count / Math.max(...bins);
    for (const [name, value] of Object.entries({ x: i * 10, y: 34 - tall, width: 9, height: tall })) bar.setAttribute(name, value);
    svg.append(bar);
    return bar;
  });
  const ends = [0, 1000].map((value, i) => {
    const input = make("input", { type: "range", min: 0, max: 1000, value });
    input.setAttribute("aria-label", (i ? "highest " : "lowest ") + factors[f].name);
    return input;
  });
  const told = [make("span"), make("span")];
  const update = () => {
    const [from, to] = ends.map((input) => low + (high - low) * input.value / 1000);
    told[0].textContent = shortly(from);
    told[1].textContent = shortly(to);
    const whole = ends[0].value === "0" && ends[1].value === "1000", slack = (high - low) * 1e-9;
    if (whole) filters.delete(f); else filters.set(f, (value) => value >= from - slack && value <= to + slack);
    box.classList.toggle("on", !whole);
    bars.forEach((bar, i) => bar.setAttribute("class", !whole && low + (high - low) * (i + 0.5) / 24 >= from && low + (high - low) * (i + 0.5) / 24 <= to ? "in" : ""));
  };
  ends.forEach((input) => input.addEventListener("input", () => {
    update();
    refresh();
  }));
  box.append(svg, make("div", { className: "range" }, ...ends), make("div", { className: "ends" }, ...told));
  update();
};
const choice = (box, f) => {
  const counts = new Map();
  values(f).forEach((value) => value !== null && counts.set(value, (counts.get(value) || 0) + 1));
  const chosen = new Set();
  for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1])) {
    const tick = make("input", { type: "checkbox" });
    tick.addEventListener("change", () => {
      if (tick.checked) chosen.add(value); else chosen.delete(value);
      if (chosen.size) filters.set(f, (found) => chosen.has(found)); else filters.delete(f);
      box.classList.toggle("on", chosen.size > 0);
      refresh();
    });
    box.append(make("label", {}, tick, shortly(value) + " (" + count + ")"));
  }
};
const useful = factors.map((_, f) => new Set(values(f).filter((value) => value !== null)).size > 1);
const boxes = new Map(); // what is set stays set while others are looked for
const boxOf = (f) => {
  if (!boxes.has(f)) {
    const box = make("div", { className: "filter" }, make("span", { className: "name", textContent: factors[f].name }));
    if (factors[f].unit) box.append(make("span", { className: "soft", textContent: " " + factors[f].unit }));
    (factors[f].discrete ? choice : numeric)(box, f);
    boxes.set(f, box);
  }
  return boxes.get(f);
};
const build = () => {
  const wanted = by("find").value.trim().toLowerCase(), groups = new Map();
  const found = factors.flatMap((factor, f) => (useful[f] && factor.name.toLowerCase().includes(wanted) ? [f] : []));
  for (const f of found) groups.set(factors[f].group, [...(groups.get(factors[f].group) || []), f]);
  by("groups").replaceChildren(...[...groups].map(([name, members]) => {
    const group = make("details", { className: "group" }, make("summary", { textContent: name + " (" + members.length + ")" }));
    const create = () => group.children.length < 2 && group.append(...members.map(boxOf));
    group.addEventListener("toggle", create);
    if ((wanted && found.length <= 12) || members.some((f) => filters.has(f))) {
      create();
      group.open = true;
    }
    return group;
  }));
  if (!found.length) by("groups").append(make("p", { className: "soft", textContent: "no value that differs has this name" }));
};
by("find").addEventListener("input", build);
by("clear").addEventListener("click", () => {
  by("find").value = "";
  boxes.clear();
  filters.clear();
  build();
  refresh();
});
by("filters").open = window.matchMedia("(min-width: 801px)").matches;

// One sample, large.
let current = 0, timer = null;
const mesh = surface(by("mesh"));
const loaded = (bytes) => new Promise((done) => {
  const image = make("img", { onload: () => done(image) });
  image.src = url(bytes);
});
const enlarge = () => fill(by("large"), samples[current], 960);
const table = () => {
  const wanted = by("search").value.trim().toLowerCase(), sample = samples[current];
  by("values").replaceChildren(...factors.flatMap((factor, f) => {
    if (sample.values[f] === null || !factor.name.toLowerCase().includes(wanted)) return [];
    const name = make("th", { textContent: factor.name, scope: "row" });
    return [make("tr", {}, name, make("td", { textContent: shortly(sample.values[f]) + (factor.unit ? " " + factor.unit : "") }))];
  }));
};
const view = (i) => {
  current = i;
  const sample = samples[i], clip = clipOf(i);
  by("key").textContent = "sample " + sample.key;
  by("player").hidden = clip.length < 2;
  by("frame").max = clip.length - 1;
  by("frame").value = clip.indexOf(i);
  by("moment").textContent = clip.indexOf(i) + 1 + " / " + clip.length;
  const cameras = moving && sample.clip ? camerasOf(i) : [i];
  by("cameras").hidden = cameras.length < 2;
  by("camera").max = cameras.length - 1;
  by("camera").value = cameras.indexOf(i);
  enlarge();
};
const more = async () => {
  const sample = samples[current], depth = sample.depth;
  table();
  by("turn").hidden = !depth;
  document.querySelector(".two").classList.toggle("single", !depth);
  if (!depth) return;
  by("meshnote").textContent = mesh ? "The surface of the depth map. Drag or use the arrow keys to turn it." : "This browser has no WebGL, which turning the surface needs.";
  if (!mesh) return;
  const pictures = await Promise.all([loaded(sample.image), loaded(depth.map)]);
  if (samples[current] === sample) mesh.show(...pictures, depth);
};
const pause = () => {
  clearInterval(timer);
  timer = null;
  by("play").textContent = "play";
  by("play").setAttribute("aria-pressed", "false");
};
const open = (i) => {
  if (!by("detail").open) by("detail").showModal();
  view(i);
  more();
};
const step = (by_) => {
  pause();
  const place = shown.indexOf(clipOf(current).find((i) => shown.includes(i)) ?? current);
  if (shown.length) open(shown[(place + by_ + shown.length) % shown.length]);
};
by("before").addEventListener("click", () => step(-1));
by("after").addEventListener("click", () => step(1));
by("close").addEventListener("click", () => by("detail").close());
by("detail").addEventListener("close", pause);
by("detail").addEventListener("keydown", (event) => {
  if (event.target.matches("input") || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  step(event.key === "ArrowLeft" ? -1 : 1);
});
by("search").addEventListener("input", table);
by("frame").addEventListener("input", () => {
  pause();
  view(clipOf(current)[by("frame").value]);
  more();
});
by("camera").addEventListener("input", () => {
  view(camerasOf(current)[by("camera").value]);
  if (timer === null) more();
});
by("play").addEventListener("click", () => {
  if (timer !== null) {
    pause();
    more();
    return;
  }
  by("play").textContent = "pause";
  by("play").setAttribute("aria-pressed", "true");
  timer = setInterval(() => {
    const clip = clipOf(current);
    view(clip[(clip.indexOf(current) + 1) % clip.length]);
  }, 1000 / (moving ? data.fps : 4));
});
build();
refresh();
redraw();
