// A canvas of classes: every pixel holds the number of a class, and brush, fill and undo work on these numbers, so that
// no colour is ever in between two classes. Python hands over, and gets, a PNG in the brushes' colours, as a data URL.
const part = (name) => element.querySelector(`[data-part="${name}"]`);
const [view, ring, size, shape] = ["view", "ring", "size", "shape"].map(part);
const brushes = [...element.querySelectorAll("[data-class]")];
const classes = brushes.map((brush) => +brush.dataset.class);
const palette = JSON.parse(part("root").dataset.palette);
const context = view.getContext("2d", {willReadFrequently: true});
const LONGEST = 512, MEMORY = 50, BLANK = classes[0];

let map = blank(LONGEST, LONGEST); // {width, height, labels, ground}: what the eraser brings back is the ground
let past = [], future = [], sent, last, spot;

function blank(width, height) {
    const labels = new Uint8Array(width * height).fill(BLANK);
    return {width, height, labels, ground: labels.slice()};
}

const copied = () => ({...map, labels: map.labels.slice()});
const chosen = (name) => element.querySelector(`[name="${name}"]:checked`).value;
const scale = () => view.getBoundingClientRect().width / map.width;

function show(left = 0, top = 0, right = map.width, bottom = map.height) {
    if (view.width !== map.width || view.height !== map.height) [view.width, view.height] = [map.width, map.height];
    if (right <= left || bottom <= top) return;
    const image = context.createImageData(right - left, bottom - top);
    for (let y = top, to = 0; y < bottom; y++)
        for (let x = left; x < right; x++, to += 4) {
            image.data.set(palette[map.labels[y * map.width + x]], to);
            image.data[to + 3] = 255;
        }
    context.putImageData(image, left, top);
}

function refresh() {
    part("undo").disabled = !past.length;
    part("redo").disabled = !future.length;
    const sides = [map.width, map.height].join("x");
    shape.value = [...shape.options].some((option) => option.value === sides) ? sides : "";
}

function remember() {
    past = [...past, copied()].slice(-MEMORY);
    future = [];
}

function send() {
    refresh();
    props.value = sent = view.toDataURL("image/png");
}

function replace(next) {
    remember();
    map = next;
    show();
    send();
}

function travel(from, to) {
    if (!from.length) return;
    to.push(copied());
    map = from.pop();
    show();
    send();
}

// A disc along a line: every pixel whose distance to the line is at most the radius.
function stroke(from, to) {
    const radius = size.value / 2, value = +chosen("doodle-class"), erase = chosen("doodle-tool") === "eraser";
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const squared = dx * dx + dy * dy || 1;
    const low = (a, b) => Math.max(0, Math.floor(Math.min(a, b) - radius));
    const high = (a, b, most) => Math.min(most, Math.ceil(Math.max(a, b) + radius) + 1);
    const [left, top] = [low(from.x, to.x), low(from.y, to.y)];
    const [right, bottom] = [high(from.x, to.x, map.width), high(from.y, to.y, map.height)];
    for (let y = top; y < bottom; y++)
        for (let x = left; x < right; x++) {
            const t = Math.min(1, Math.max(0, ((x - from.x) * dx + (y - from.y) * dy) / squared));
            if (Math.hypot(x - from.x - t * dx, y - from.y - t * dy) > radius) continue;
            const i = y * map.width + x;
            map.labels[i] = erase ? map.ground[i] : value;
        }
    show(left, top, right, bottom);
}

function fill({x, y}) {
    const {labels, width} = map, start = Math.floor(y) * width + Math.floor(x);
    const old = labels[start], value = +chosen("doodle-class");
    const open = old === value || old === undefined ? [] : [start];
    while (open.length) {
        const i = open.pop();
        if (labels[i] !== old) continue;
        labels[i] = value;
        if (i % width > 0) open.push(i - 1);
        if (i % width < width - 1) open.push(i + 1);
        open.push(i - width, i + width); // outside, there is no label to be old
    }
    show();
}

function apply(from, to) {
    chosen("doodle-tool") === "fill" ? fill(to) : stroke(from, to);
}

function inside({x, y}) {
    return {x: Math.min(map.width - 1, Math.max(0, x)), y: Math.min(map.height - 1, Math.max(0, y))};
}

function point(event) {
    const box = view.getBoundingClientRect();
    return inside({
        x: ((event.clientX - box.left) / box.width) * map.width,
        y: ((event.clientY - box.top) / box.height) * map.height,
    });
}

function aim(at) {
    spot = at;
    const across = chosen("doodle-tool") === "fill" ? 8 : size.value * scale();
    Object.assign(ring.style, {
        left: `${at.x * scale()}px`,
        top: `${at.y * scale()}px`,
        width: `${across}px`,
        height: `${across}px`,
    });
}

// Browsers that fear fingerprinting change what is read off a canvas a little.
const known = new Map();
function nearest(r, g, b) {
    const key = (r << 16) | (g << 8) | b;
    if (!known.has(key)) {
        const far = palette.map((rgb) => Math.hypot(rgb[0] - r, rgb[1] - g, rgb[2] - b));
        known.set(key, far.indexOf(Math.min(...far)));
    }
    return known.get(key);
}

// What Python hands over replaces the map, and can be undone, but for the first one.
function receive(url, first) {
    const image = new Image();
    image.onload = () => {
        const {width, height} = image;
        [view.width, view.height] = [width, height];
        context.drawImage(image, 0, 0);
        const {data} = context.getImageData(0, 0, width, height);
        const labels = Uint8Array.from({length: width * height}, (_, i) => nearest(...data.subarray(4 * i, 4 * i + 3)));
        if (!first) remember();
        map = {width, height, labels, ground: labels.slice()};
        show();
        refresh();
        if (first) trigger("ready");
    };
    image.src = sent = url;
}

// Another shape stretches what is there.
function reshape(width, height) {
    const stretched = (old) =>
        Uint8Array.from({length: width * height}, (_, i) => {
            const x = Math.floor(((i % width) * map.width) / width);
            const y = Math.floor((Math.floor(i / width) * map.height) / height);
            return old[y * map.width + x];
        });
    replace({width, height, labels: stretched(map.labels), ground: stretched(map.ground)});
}

view.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    view.setPointerCapture(event.pointerId);
    remember();
    last = point(event);
    apply(last, last);
});
view.addEventListener("pointermove", (event) => {
    aim(point(event));
    if (!last || !event.isPrimary || chosen("doodle-tool") === "fill") return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) stroke(last, (last = point(each)));
});
for (const end of ["pointerup", "pointercancel"])
    view.addEventListener(end, (event) => {
        if (!last || !event.isPrimary) return;
        last = undefined;
        send();
    });

// Without a pointer: arrows move the brush, space and Enter paint; with Shift, the arrows move it further.
const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
view.addEventListener("keydown", (event) => {
    const from = inside(spot ?? {x: map.width / 2, y: map.height / 2}); // the map may have become smaller
    if (event.key in ARROWS) {
        const step = event.shiftKey ? 64 : 16, [x, y] = ARROWS[event.key];
        aim(inside({x: from.x + x * step, y: from.y + y * step}));
    } else if (event.key === " " || event.key === "Enter") {
        if (!event.repeat) {
            remember();
            apply(from, from);
            send();
        }
    } else return;
    event.preventDefault();
});
view.addEventListener("focus", () => spot ?? aim({x: map.width / 2, y: map.height / 2}));
element.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || !"zy".includes(key)) return;
    event.preventDefault();
    key === "y" || event.shiftKey ? travel(future, past) : travel(past, future);
});

part("undo").addEventListener("click", () => travel(past, future));
part("redo").addEventListener("click", () => travel(future, past));
part("clear").addEventListener("click", () => replace(blank(map.width, map.height)));
shape.addEventListener("change", () => reshape(...shape.value.split("x").map(Number)));
size.addEventListener("input", () => spot && aim(spot));

watch("value", () => props.value !== sent && receive(props.value, false));
receive(props.value, true);
