// Sliders for the face of one photograph. Everything runs here, on WebAssembly; no request carries the photograph.
import * as ort from './ort/ort.wasm.min.mjs'
import { cut } from './geometry.js'
import { find, tight } from './face.js'
import { apply } from './edit.js'

const NAMES = { AU01: 'inner brows up', AU02: 'outer brows up', AU04: 'brows down', AU05: 'upper lids up', AU06: 'cheeks up',
  AU07: 'lids tight', AU09: 'nose wrinkled', AU10: 'upper lip up', AU12: 'corners of the mouth up', AU14: 'dimples',
  AU15: 'corners of the mouth down', AU17: 'chin up', AU18: 'lips puckered', AU20: 'lips stretched', AU23: 'lips tight',
  AU24: 'lips pressed', AU25: 'lips parted', AU26: 'jaw down', AU27: 'mouth wide open', AU43: 'eyes shut' }
const MOST = 1280 // pixels of a photograph's longer side
const element = id => document.getElementById(id)
const say = text => { element('said').textContent = text }

ort.env.wasm.numThreads = 1
ort.env.wasm.wasmPaths = new URL('ort/', import.meta.url).href
const load = name => ort.InferenceSession.create(new URL(name, import.meta.url).href, { executionProviders: ['wasm'] })
let models, state = null, busy = false, again = false

async function mesh(planes, side) {
  const out = await models.mesh.run({ [models.mesh.inputNames[0]]: new ort.Tensor('float32', planes, [1, 3, side, side]) })
  return models.mesh.outputNames.map(name => out[name].data)
}

const bytes = ({ data }, size) => new ort.Tensor('uint8', Uint8Array.from(data, v => Math.round(v)), [1, size, size, 3])

// What the photograph's face shows, {AU: level in [0, 1]}, and the pixels that the reader has seen.
async function read(photo, points) {
  const { image_size: size, aus } = models.reading
  const image = bytes(cut(photo, tight(points, size), size, false), size)
  const out = await models.reader.run({ image })
  const level = k => Math.min(Math.max(out.au.data[k], 0), 1)
  return { seen: image.data, shown: Object.fromEntries(aus.map((name, k) => [name, level(k)])) }
}

// A photograph, as something that can be drawn: find its face, read it, and set the sliders.
async function open(source, width, height) {
  const scale = Math.min(1, MOST / Math.max(width, height)), canvas = element('canvas')
  canvas.width = Math.round(width * scale)
  canvas.height = Math.round(height * scale)
  const context = canvas.getContext('2d', { willReadFrequently: true })
  context.drawImage(source, 0, 0, canvas.width, canvas.height)
  const photo = { ...pixels(context, canvas), channels: 4 }
  state = null
  element('sliders').hidden = true
  say('Looking for a face …')
  await new Promise(done => setTimeout(done))
  const face = await find(mesh, photo)
  if (!face) return say('No face found. Choose a photograph where it is larger, or more from the front.')
  const size = models.editing.image_size, matrix = tight(face.points, size)
  const { seen, shown } = await read(photo, face.points)
  state = { photo, context, face, matrix, picture: cut(photo, matrix, size, false), seen, shown, levels: { ...shown } }
  for (const name of models.editing.conditions) set(name, shown[name])
  element('sliders').hidden = element('reset').disabled = element('save').hidden = false
  say('Move a slider. They begin at what the photograph shows.')
}

const pixels = (context, { width, height }) => ({ data: context.getImageData(0, 0, width, height).data, width, height })

function set(name, value) {
  const slider = element(name)
  slider.value = value
  slider.nextElementSibling.value = Number(value).toFixed(2)
}

// Draw the photograph with the sliders' levels; a slider that moves meanwhile is drawn afterwards.
async function draw() {
  if (busy || !state) { again = busy; return }
  busy = true
  do {
    again = false
    const { conditions, image_size: size } = models.editing, { photo, context, face, matrix, picture, shown, levels } = state
    const row = values => new ort.Tensor('float32', Float32Array.from(conditions, name => values[name]), [1, conditions.length])
    const out = await models.editor.run({ image: bytes(picture, size), source: row(shown), target: row(levels) })
    const parts = Object.fromEntries(['flow', 'paint', 'cover'].map(name => [name, out[name].data]))
    const data = apply(photo, face.points, matrix, picture.data, size, parts)
    context.putImageData(new ImageData(data, photo.width, photo.height), 0, 0)
    await new Promise(done => requestAnimationFrame(done))
  } while (again)
  busy = false
}

function build() {
  const form = element('sliders')
  form.hidden = true
  for (const name of models.editing.conditions) {
    const label = document.createElement('label')
    label.innerHTML = `<span>${name} ${NAMES[name] ?? ''}</span><input type="range" id="${name}" min="0" max="1" step="0.01">`
      + '<output></output>'
    form.append(label)
    element(name).addEventListener('input', event => {
      state.levels[name] = Number(event.target.value)
      event.target.nextElementSibling.value = state.levels[name].toFixed(2)
      draw()
    })
  }
  element('file').addEventListener('change', async event => {
    const bitmap = await createImageBitmap(event.target.files[0]).catch(() => null)
    return bitmap ? open(bitmap, bitmap.width, bitmap.height) : say('This file is no picture that the browser can open.')
  })
  element('reset').addEventListener('click', () => {
    state.levels = { ...state.shown }
    for (const name of models.editing.conditions) set(name, state.shown[name])
    draw()
  })
  element('save').addEventListener('click', event => { event.target.href = element('canvas').toDataURL('image/png') })
}

async function start() {
  const json = name => fetch(new URL(name, import.meta.url)).then(answer => answer.json())
  const [meshModel, editor, reader, editing, reading] = await Promise.all(
    [load('mesh.onnx'), load('editor.onnx'), load('reader.onnx'), json('editor.json'), json('reader.json')])
  models = { mesh: meshModel, editor, reader, editing, reading }
  build()
  say('Choose a photograph.')
}

// for `make test-browser`
export const ready = start()
export const page = { open, mesh, find, pixels, shown: () => state, idle: () => !busy }
