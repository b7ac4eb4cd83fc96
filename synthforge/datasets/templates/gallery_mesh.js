// The surface of a depth map, turned by mouse, finger or keys. WebGL 1, no library.
const surface = (canvas) => {
  const gl = canvas.getContext("webgl", { antialias: true });
  if (!gl) return null;
  const compiled = (type, text) => {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    return shader;
  };
  const program = gl.createProgram();
  gl.attachShader(program, compiled(gl.VERTEX_SHADER,
    `attribute vec3 place; attribute vec2 at; varying vec2 seen; uniform mat3 turn; uniform float zoom;
     void main() { vec3 p = turn * place; seen = at; float z = 3.2 - p.z;
       gl_Position = vec4(zoom * p.xy * 2.5, (z - 3.2) * z * 0.3, z); }`));
  gl.attachShader(program, compiled(gl.FRAGMENT_SHADER,
    `precision mediump float; varying vec2 seen; uniform sampler2D picture; void main() { gl_FragColor = texture2D(picture, seen); }`));
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  gl.clearColor(0.125, 0.137, 0.165, 1);
  const where = (name) => gl.getUniformLocation(program, name);
  const [turn, zoomed] = [where("turn"), where("zoom")];
  const buffer = (data, kind = gl.ARRAY_BUFFER) => {
    const made = gl.createBuffer();
    gl.bindBuffer(kind, made);
    gl.bufferData(kind, data, gl.STATIC_DRAW);
    return made;
  };
  const attribute = (name, size, data) => {
    const made = buffer(data), place = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, gl.FLOAT, false, 0, 0);
    return made;
  };
  let yaw = 0.45, pitch = 0.05, zoom = 1, count = 0, owned = [], texture = null;

  const draw = () => {
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    gl.uniformMatrix3fv(turn, false, [cy, sp * sy, -cp * sy, 0, cp, sp, sy, -sp * cy, cp * cy]);
    gl.uniform1f(zoomed, zoom);
    gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_SHORT, 0);
  };
  const move = (dx, dy, factor = 1) => {
    yaw = Math.max(-1.5, Math.min(1.5, yaw + dx));
    pitch = Math.max(-1.2, Math.min(1.2, pitch + dy));
    zoom = Math.max(0.4, Math.min(6, zoom * factor));
    draw();
  };
  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
    const other = [...fingers.values()].find((each) => each.pointerId !== event.pointerId);
    const span = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
    if (other) move(0, 0, span(event) / Math.max(span(last), 1));
    else move(dx / 120, dy / 120);
    fingers.set(event.pointerId, event);
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    move(0, 0, Math.exp(-event.deltaY / 500));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1], "+": [0, 0, 1.15], "-": [0, 0, 1 / 1.15] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    move(...step);
  });

  // image, map: loaded pictures; depth: {near, far, step, camera: [fx, fy, cx, cy]} of pixels `step` apart.
  const show = (image, map, depth) => {
    const flat = Object.assign(document.createElement("canvas"), { width: map.width, height: map.height });
    const pen = flat.getContext("2d", { willReadFrequently: true });
    pen.drawImage(map, 0, 0);
    const bytes = pen.getImageData(0, 0, map.width, map.height).data;
    const [fx, fy, cx, cy] = depth.camera, wide = map.width, high = map.height;
    const z = new Float32Array(wide * high), ids = new Int32Array(wide * high).fill(-1), places = [], at = [];
    for (let i = 0; i < wide * high; i++) {
      const level = bytes[4 * i] * 16 + (bytes[4 * i + 1] >> 4);
      if (!level) continue;
      z[i] = depth.near + (level - 1) / 4094 * (depth.far - depth.near);
      const u = (i % wide) * depth.step + 0.5, v = Math.floor(i / wide) * depth.step + 0.5;
      ids[i] = places.length / 3;
      places.push((u - cx) / fx * z[i], -(v - cy) / fy * z[i], -z[i]);
      at.push(u / depth.size[0], v / depth.size[1]);
    }
    const triangles = [];
    for (let y = 0; y + 1 < high; y++) for (let x = 0; x + 1 < wide; x++) {
      const corners = [y * wide + x, y * wide + x + 1, (y + 1) * wide + x, (y + 1) * wide + x + 1];
      if (corners.some((i) => ids[i] < 0)) continue;
      const far = corners.map((i) => z[i]);
      if (Math.max(...far) - Math.min(...far) > 8 * depth.step * far[0] / fx) continue; // a step, not a slope
      const [a, b, c, d] = corners.map((i) => ids[i]);
      triangles.push(a, c, b, b, c, d);
    }
    if (!triangles.length) return false;
    const ends = [0, 1, 2].map((axis) => {
      const sorted = places.filter((_, i) => i % 3 === axis).sort((a, b) => a - b);
      return [sorted[Math.floor(sorted.length * 0.02)], sorted[Math.floor(sorted.length * 0.98)]];
    });
    const scale = 2 / Math.max(...ends.map(([low, high]) => high - low), 1e-6);
    const middle = ends.map(([low, high]) => (low + high) / 2);
    owned.forEach((each) => gl.deleteBuffer(each));
    if (texture) gl.deleteTexture(texture);
    owned = [attribute("place", 3, new Float32Array(places.map((value, i) => (value - middle[i % 3]) * scale))),
      attribute("at", 2, new Float32Array(at)), buffer(new Uint16Array(triangles), gl.ELEMENT_ARRAY_BUFFER)];
    count = triangles.length;
    texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
    for (const [name, value] of [["MIN_FILTER", "LINEAR"], ["MAG_FILTER", "LINEAR"], ["WRAP_S", "CLAMP_TO_EDGE"], ["WRAP_T", "CLAMP_TO_EDGE"]])
      gl.texParameteri(gl.TEXTURE_2D, gl["TEXTURE_" + name], gl[value]);
    [yaw, pitch, zoom] = [0.45, 0.05, 1];
    draw();
    return true;
  };
  return { show, triangles: () => count / 3, angles: () => [yaw, pitch, zoom] };
};
