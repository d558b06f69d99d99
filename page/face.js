// Finding a face: Face Mesh looks at squares of the picture, and says how sure it is that a face is there.
import { cut, invert, move } from './geometry.js'

const SIDE = 192, ROOM = 1.5, LEAST = 0.5 // as lib/faces/landmarks.py
const RIGHT_EYE = 33, LEFT_EYE = 263, CHIN = 152, BROWS = [105, 334]
const TIGHT_HEIGHT = 1.23, TIGHT_DROP = -0.055 // as lib/faces/align.py

// {points [[x, y], …] in pixels of the picture, confidence} of the square of `side` pixels about `middle`, turned by `angle`.
async function look(mesh, picture, middle, side, angle) {
  const scale = SIDE / side, cos = scale * Math.cos(angle), sin = scale * Math.sin(angle)
  const matrix = [cos, sin, SIDE / 2 - cos * middle[0] - sin * middle[1], -sin, cos, SIDE / 2 + sin * middle[0] - cos * middle[1]]
  const { data } = cut(picture, matrix, SIDE), planes = new Float32Array(3 * SIDE * SIDE)
  for (let i = 0; i < SIDE * SIDE; i++) for (let c = 0; c < 3; c++) planes[c * SIDE * SIDE + i] = data[3 * i + c] / 255
  const [flat, flag] = await mesh(planes, SIDE)
  const back = invert(matrix), points = []
  for (let k = 0; k < 468; k++) points.push(move(back, [flat[3 * k], flat[3 * k + 1]]))
  return { points, confidence: 1 / (1 + Math.exp(-flag[0])) }
}

// The square that a face's points ask for: [middle, side, angle].
function square(points) {
  const [ax, ay] = points[RIGHT_EYE], [bx, by] = points[LEFT_EYE], angle = Math.atan2(by - ay, bx - ax)
  const cos = Math.cos(angle), sin = Math.sin(angle)
  const flat = points.map(([x, y]) => [cos * x + sin * y, -sin * x + cos * y])
  const low = [0, 1].map(k => Math.min(...flat.map(p => p[k]))), high = [0, 1].map(k => Math.max(...flat.map(p => p[k])))
  const [u, v] = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2]
  return [[cos * u - sin * v, sin * u + cos * v], ROOM * Math.max(high[0] - low[0], high[1] - low[1]), angle]
}

// The surest large face of a picture, or null. mesh(planes, side) -> [points, score].
export async function find(mesh, picture) {
  const long = Math.max(picture.width, picture.height)
  for (const share of [1, 0.7, 0.45, 0.3, 0.2]) {
    const side = long * share, step = side / 3
    let best = null
    for (let y = side / 2 - step; y < picture.height - side / 2 + 2 * step; y += step)
      for (let x = side / 2 - step; x < picture.width - side / 2 + 2 * step; x += step) {
        const face = await look(mesh, picture, [x, y], side, 0)
        if (!best || face.confidence > best.confidence) best = face
      }
    for (let round = 0; best && best.confidence > 0.1 && round < 3; round++) best = await look(mesh, picture, ...square(best.points))
    if (best && best.confidence >= LEAST) return best
  }
  return null
}

// The matrix that cuts a face out as the editor's and the reader's pictures are framed.
export function tight(points, size) {
  const [ax, ay] = points[RIGHT_EYE], [bx, by] = points[LEFT_EYE], angle = Math.atan2(by - ay, bx - ax)
  const cos = Math.cos(angle), sin = Math.sin(angle)
  const level = ([x, y]) => [cos * x + sin * y, -sin * x + cos * y]
  const brow = level([0, 1].map(k => (points[BROWS[0]][k] + points[BROWS[1]][k]) / 2)), chin = level(points[CHIN])
  const height = Math.max(chin[1] - brow[1], 1e-3), scale = size / (TIGHT_HEIGHT * height)
  const eyes = level([(ax + bx) / 2, (ay + by) / 2])
  const middle = [eyes[0], (brow[1] + chin[1]) / 2 + TIGHT_DROP * height]
  return [scale * cos, scale * sin, size / 2 - scale * middle[0], -scale * sin, scale * cos, size / 2 - scale * middle[1]]
}
