// An edit at the photograph's own resolution, as lib/faces/flow.py makes it: the flow moves the photograph's pixels, paint
// shows where `cover` says so. Where nothing moves and nothing is painted, the photograph stays.
import { between, blur, depth, hull, invert, move } from './geometry.js'

const SOFT = 0.9, LEAST_SPREAD = 0.25, ROUNDS = 12, HUE_REACH = 4, RIM = 0.06, STILL = 0.02, BARE = 1 / 512
const LUMA = [0.299, 0.587, 0.114]
const light = (data, i) => LUMA[0] * data[3 * i] + LUMA[1] * data[3 * i + 1] + LUMA[2] * data[3 * i + 2]

// A flow smoothed a little, and more where it would read the same place twice.
function unfolded(data, size) {
  let flow = blur({ data, width: size, height: size, channels: 2 }, SOFT * size / 64)
  const at = (x, y, c) => flow.data[(Math.min(Math.max(y, 0), size - 1) * size + Math.min(Math.max(x, 0), size - 1)) * 2 + c]
  for (let round = 0; round < ROUNDS; round++) {
    const folds = new Float32Array(size * size)
    let any = false
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++)
        if (1 + Math.min((at(x + 1, y, 0) - at(x - 1, y, 0)) / 2, (at(x, y + 1, 1) - at(x, y - 1, 1)) / 2) < LEAST_SPREAD) {
          any = true
          for (let dy = -2; dy <= 2; dy++)
            for (let dx = -2; dx <= 2; dx++)
              if (y + dy >= 0 && y + dy < size && x + dx >= 0 && x + dx < size) folds[(y + dy) * size + x + dx] = 1
        }
    if (!any) break
    const share = blur({ data: folds, width: size, height: size, channels: 1 }, 1).data, smooth = blur(flow, 1.5 * size / 64).data
    flow.data.forEach((value, i) => { flow.data[i] = value + share[i >> 1] * (smooth[i] - value) })
  }
  return flow
}

// Paint in the photograph's own colours: its brightness, with the hue of what lies around it.
function toned(paint, picture, size) {
  const around = blur({ data: picture, width: size, height: size, channels: 3 }, HUE_REACH * size / 64).data
  const out = new Float32Array(paint.length)
  for (let i = 0; i < size * size; i++) {
    const there = Math.max(light(around, i), 1), bright = Math.max(light(paint, i), 0)
    const share = 1 - 0.7 * Math.min(Math.max((bright - there) / Math.max(255 - there, 1), 0), 1)
    for (let c = 0; c < 3; c++) out[3 * i + c] = bright * (1 + share * (around[3 * i + c] / there - 1))
  }
  return out
}

// photo: {data (RGBA), width, height, channels: 4}; matrix: from it to the registered face, float [size,size,3] `picture`;
// flow, paint, cover: the editor's outputs. The edited photo's data.
export function apply(photo, points, matrix, picture, size, { flow, paint, cover }) {
  const field = unfolded(flow, size), tones = { data: toned(paint, picture, size), width: size, height: size, channels: 3 }
  const shown = { data: cover, width: size, height: size, channels: 1 }
  const outline = hull(points), inside = hull(points.map(point => move(matrix, point))), [a, b, , d, e] = invert(matrix)
  const out = new Uint8ClampedArray(photo.data)
  const range = k => [Math.max(0, Math.floor(Math.min(...outline.map(p => p[k])))), Math.ceil(Math.max(...outline.map(p => p[k])))]
  const [left, right] = range(0), [top, bottom] = range(1)
  for (let y = top; y < Math.min(bottom, photo.height); y++)
    for (let x = left; x < Math.min(right, photo.width); x++) {
      if (depth(outline, [x + 0.5, y + 0.5]) < 0) continue
      const [u, v] = move(matrix, [x + 0.5, y + 0.5])
      const rim = Math.min(Math.max(Math.min(depth(inside, [u, v]), u, v, size - u, size - v) / (RIM * size), 0), 1)
      const mask = rim * rim * (3 - 2 * rim), fx = between(field, u, v, 0) * mask, fy = between(field, u, v, 1) * mask
      const away = [a * fx + b * fy, d * fx + e * fy], share = Math.min(Math.max(between(shown, u, v, 0), 0), 1) * mask
      const moves = Math.max(Math.abs(away[0]), Math.abs(away[1])) > STILL
      if (!moves && share <= BARE) continue
      for (let c = 0; c < 3; c++) {
        const i = (y * photo.width + x) * 4 + c
        const moved = moves ? between(photo, x + 0.5 + away[0], y + 0.5 + away[1], c) : photo.data[i]
        out[i] = moved + share * (between(tones, u, v, c) - moved)
      }
    }
  return out
}
