// Affine matrices [a, b, c, d, e, f]: x' = a x + b y + c, y' = d x + e y + f. Points count from the picture's corner:
// pixel centres lie at .5. Pictures are {data, width, height, channels}, row by row.

export const invert = ([a, b, c, d, e, f]) => {
  const det = a * e - b * d
  return [e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det]
}

export const move = ([a, b, c, d, e, f], [x, y]) => [a * x + b * y + c, d * x + e * y + f]

// A value of a picture between its pixels, the border repeated.
export function between(picture, x, y, channel) {
  const { data, width, height, channels } = picture
  x = Math.min(Math.max(x - 0.5, 0), width - 1)
  y = Math.min(Math.max(y - 0.5, 0), height - 1)
  const left = Math.floor(x), top = Math.floor(y)
  const right = Math.min(left + 1, width - 1), bottom = Math.min(top + 1, height - 1)
  const u = x - left, v = y - top
  const at = (column, row) => data[(row * width + column) * channels + channel]
  return (at(left, top) * (1 - u) + at(right, top) * u) * (1 - v) + (at(left, bottom) * (1 - u) + at(right, bottom) * u) * v
}

// A square of `size` pixels whose points are `matrix` times the picture's; means of several samples where it shrinks.
export function cut(picture, matrix, size, repeatBorder = true) {
  const back = invert(matrix), out = new Float32Array(size * size * 3)
  const scale = Math.sqrt(Math.abs(back[0] * back[4] - back[1] * back[3]))
  const samples = Math.min(6, Math.max(1, Math.ceil(scale)))
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++)
      for (let k = 0; k < samples * samples; k++) {
        const column = x + (k % samples + 0.5) / samples, row = y + (Math.floor(k / samples) + 0.5) / samples
        const [px, py] = move(back, [column, row])
        if (!repeatBorder && (px < 0 || py < 0 || px > picture.width || py > picture.height)) continue
        for (let c = 0; c < 3; c++) out[(y * size + x) * 3 + c] += between(picture, px, py, c) / (samples * samples)
      }
  return { data: out, width: size, height: size, channels: 3 }
}

// A Gaussian blur of all channels, the border repeated.
export function blur({ data, width, height, channels }, sigma) {
  const reach = Math.max(1, Math.ceil(3 * sigma)), kernel = []
  for (let k = -reach; k <= reach; k++) kernel.push(Math.exp(-k * k / (2 * sigma * sigma)))
  const total = kernel.reduce((a, b) => a + b)
  const pass = (from, stepX, stepY) => {
    const to = new Float32Array(from.length)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let k = -reach; k <= reach; k++) {
          const px = Math.min(Math.max(x + k * stepX, 0), width - 1), py = Math.min(Math.max(y + k * stepY, 0), height - 1)
          const share = kernel[k + reach] / total
          for (let c = 0; c < channels; c++) to[(y * width + x) * channels + c] += share * from[(py * width + px) * channels + c]
        }
    return to
  }
  return { data: pass(pass(Float32Array.from(data), 1, 0), 0, 1), width, height, channels }
}

// The convex hull of points [[x, y], …] (monotone chain).
export function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1])
  const half = list => {
    const out = []
    for (const p of list) {
      while (out.length > 1) {
        const [a, b] = out.slice(-2)
        if ((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) > 0) break
        out.pop()
      }
      out.push(p)
    }
    return out.slice(0, -1)
  }
  return [...half(sorted), ...half(sorted.reverse())]
}

// How far a point lies within a convex hull; negative outside.
export function depth(outline, [x, y]) {
  let least = Infinity
  outline.forEach(([ax, ay], k) => {
    const [bx, by] = outline[(k + 1) % outline.length]
    const length = Math.hypot(bx - ax, by - ay)
    if (length) least = Math.min(least, ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length)
  })
  return least
}
