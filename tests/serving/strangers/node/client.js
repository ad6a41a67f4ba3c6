// A client by @grpc/grpc-js from TensorFlow Serving's descriptors: it asks, and prints what it got as JSON.
const fs = require("fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, descriptors] = process.argv.slice(2);
const options = { keepCase: true, longs: Number, enums: String, defaults: true };
const packages = grpc.loadPackageDefinition(
  loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(descriptors), options),
);
const { serving } = packages.tensorflow;
const prediction = new serving.PredictionService(address, grpc.credentials.createInsecure());
const models = new serving.ModelService(address, grpc.credentials.createInsecure());

const call = (client, method, request, seconds = 20) =>
  new Promise((resolve, reject) => {
    const deadline = Date.now() + 1000 * seconds;
    client[method](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
// Read from descriptors, a map is a list of its entries.
const entries = (map) => Object.entries(map).map(([key, value]) => ({ key, value }));
const fields = (list) => Object.fromEntries(list.map(({ key, value }) => [key, value]));
const shape = (...sizes) => ({ dim: sizes.map((size) => ({ size })) });
const predict = (name, signature_name, inputs, seconds) =>
  call(prediction, "Predict", { model_spec: { name, signature_name }, inputs: entries(inputs) }, seconds);
const code = (promise) => promise.then(() => 0, (error) => error.code);

async function main() {
  const numbers = { dtype: "DT_FLOAT", tensor_shape: shape(2, 1), float_val: [2, 6] };
  const words = { dtype: "DT_STRING", tensor_shape: shape(2), string_val: [Buffer.from("ab"), Buffer.from("中")] };
  const limit = { dtype: "DT_INT64", tensor_shape: shape(), int64_val: [1e12] };
  const states = await call(models, "GetModelStatus", { model_spec: { name: "half" } });
  const question = { model_spec: { name: "half" }, metadata_field: ["signature_def"] };
  const metadata = await call(prediction, "GetModelMetadata", question);
  const map = serving.SignatureDefMap.deserialize(fields(metadata.metadata).signature_def.value);
  const halves = await predict("half", "", { x: numbers });
  const shouted = await predict("half", "shout", { words });
  console.log(
    JSON.stringify({
      state: states.model_version_status[0].state,
      signatures: map.signature_def.map(({ key }) => key).sort(),
      version: halves.model_spec.version.value,
      y: fields(halves.outputs).y.float_val,
      upper: fields(shouted.outputs).upper.string_val.map((value) => value.toString()),
      missing: await code(predict("missing", "", { x: numbers })),
      wrong_type: await code(predict("half", "", { x: words })),
      late: await code(predict("half", "count", { limit }, 0.5)),
    }),
  );
  prediction.close();
  models.close();
}

main();
