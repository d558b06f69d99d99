// A classifier on onnxruntime-node: node read.cjs classifier.onnx pixels.bin COUNT [TIMES]
// pixels.bin: COUNT images of the model's size, uint8, rows of RGB. Label names come from the .json beside the model.
// Prints JSON: {labels, au: [[level …] …], latency: {p50, p99} in ms of one image, throughput: {batch: images/s}}
const fs = require("fs");
const ort = require("onnxruntime-node");

async function main(path, file, count, times) {
  const meta = JSON.parse(fs.readFileSync(path.replace(/\.onnx$/, ".json")));
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
  const pixels = new Uint8Array(fs.readFileSync(file));
  const size = meta.image_size, bytes = size * size * 3;
  const tensor = (n) => new ort.Tensor("uint8", pixels.subarray(0, n * bytes), [n, size, size, 3]);
  const { au } = await session.run({ image: tensor(count) }, ["au"]);
  const rows = [];
  for (let i = 0; i < count; i++) rows.push(Array.from(au.data.subarray(i * meta.aus.length, (i + 1) * meta.aus.length)));
  const clock = async (n) => {
    const start = performance.now();
    await session.run({ image: tensor(n) }, ["au"]);
    return performance.now() - start;
  };
  const ones = [];
  for (let i = 0; i < times; i++) ones.push(await clock(1));
  ones.sort((a, b) => a - b);
  const at = (share) => ones[Math.min(ones.length - 1, Math.floor(share * ones.length))];
  const throughput = {};
  for (let n = 1; times && n <= count; n *= 8) {
    let best = Infinity;
    for (let i = 0; i < 5; i++) best = Math.min(best, await clock(n));
    throughput[n] = (n * 1000) / best;
  }
  console.log(JSON.stringify({ labels: meta.aus, au: rows, latency: { p50: at(0.5), p99: at(0.99) }, throughput }));
}

const [path, file, count, times] = process.argv.slice(2);
main(path, file, Number(count), Number(times || 0)).catch((error) => {
  console.error(String(error));
  process.exit(3);
});
