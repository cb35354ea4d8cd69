// The exported network: layers over Float64Arrays, a position at a time. No dependency.
// A feature map is {values, height, width, channels}; a vector has height and width 1.

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// The tensors of {floats, shorts: base64, little-endian; tensors}. A tensor of 16 bits is an integer times the scale of
// its column (the last axis), which stands among the floats.
function readTensors({ floats, shorts, tensors }) {
  const float = new Float32Array(bytesOf(floats).buffer);
  const short = new Int16Array(bytesOf(shorts).buffer);
  return tensors.map(({ shape, at, scale }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    if (scale === undefined) return { shape, values: float.slice(at, at + size) };
    const columns = shape[shape.length - 1];
    const values = new Float32Array(size);
    for (let i = 0; i < size; i++) values[i] = short[at + i] * float[scale + (i % columns)];
    return { shape, values };
  });
}

function dense(x, kernel, bias) {
  const outputs = kernel.shape[1];
  const values = new Float64Array(outputs);
  addRow(values, 0, x.values, 0, x.values.length, kernel.values, 0, outputs);
  if (bias) for (let o = 0; o < outputs; o++) values[o] += bias.values[o];
  return { values, height: 1, width: 1, channels: outputs };
}

// Adds inputs[from .. from + count] times the matrix that starts at weights[start] to sums[at .. at + outputs].
function addRow(sums, at, inputs, from, count, weights, start, outputs) {
  for (let i = 0; i < count; i++) {
    const input = inputs[from + i];
    if (input === 0) continue; // most of what a relu leaves, and of a board
    const row = start + i * outputs;
    for (let o = 0; o < outputs; o++) sums[at + o] += input * weights[row + o];
  }
}

// A convolution with an odd window, padded to the size of the map.
function conv(x, kernel, bias) {
  const [rows, columns, inputs, outputs] = kernel.shape;
  const { height, width } = x;
  const values = new Float64Array(height * width * outputs);
  for (let r = 0; r < height; r++) {
    for (let c = 0; c < width; c++) {
      const at = (r * width + c) * outputs;
      for (let i = 0; i < rows; i++) {
        const y = r + i - (rows >> 1);
        if (y < 0 || y >= height) continue;
        for (let j = 0; j < columns; j++) {
          const z = c + j - (columns >> 1);
          if (z < 0 || z >= width) continue;
          const start = (i * columns + j) * inputs * outputs;
          addRow(values, at, x.values, (y * width + z) * inputs, inputs, kernel.values, start, outputs);
        }
      }
      if (bias) for (let o = 0; o < outputs; o++) values[at + o] += bias.values[o];
    }
  }
  return { values, height, width, channels: outputs };
}

// Mean 0 and variance 1 over a position's map, in groups of channels; then a scale and a bias for each channel.
function normalise(x, groups, scale, bias) {
  const { values, channels } = x;
  const size = channels / groups;
  const result = new Float64Array(values.length);
  for (let g = 0; g < groups; g++) {
    let sum = 0;
    let squares = 0;
    for (let at = g * size; at < values.length; at += channels) {
      for (let c = 0; c < size; c++) sum += values[at + c];
    }
    const mean = (sum * groups) / values.length;
    for (let at = g * size; at < values.length; at += channels) {
      for (let c = 0; c < size; c++) squares += (values[at + c] - mean) ** 2;
    }
    const factor = 1 / Math.sqrt((squares * groups) / values.length + 1e-6);
    for (let at = g * size; at < values.length; at += channels) {
      for (let c = 0; c < size; c++) {
        const channel = g * size + c;
        result[at + c] = (values[at + c] - mean) * factor * scale.values[channel] + bias.values[channel];
      }
    }
  }
  return { ...x, values: result };
}

function runLayers(layers, tensors, x) {
  const kept = [];
  const given = x;
  for (const { op, weights = [], groups } of layers) {
    const [first, second] = weights.map((index) => tensors[index]);
    if (op === "flatten") x = { values: x.values, height: 1, width: 1, channels: x.values.length };
    else if (op === "dense") x = dense(x, first, second);
    else if (op === "conv") x = conv(x, first, second);
    else if (op === "norm") x = normalise(x, groups, first, second);
    else if (op === "relu") x = { ...x, values: x.values.map((value) => Math.max(value, 0)) };
    else if (op === "keep") kept.push(x.values);
    else if (op === "add") {
      const other = kept.pop();
      x = { ...x, values: x.values.map((value, i) => value + other[i]) };
    } else if (op === "cells") {
      const cells = conv(given, first, second).values;
      x = { ...x, values: x.values.map((value, i) => (i < cells.length ? value + cells[i] : value)) };
    } else throw new Error(`unknown layer ${op}`);
  }
  return x;
}

// observation Float32Array -> {logits: Float32Array, value: float32 for the player to move}.
function makeNetwork(data) {
  const tensors = readTensors(data.weights);
  const [height, width, channels] = data.shape;
  return function network(observation) {
    const input = { values: Float64Array.from(observation), height, width, channels };
    const features = runLayers(data.body, tensors, input);
    const logits = Float32Array.from(runLayers(data.policy, tensors, features).values);
    return { logits, value: Math.fround(Math.tanh(runLayers(data.value, tensors, features).values[0])) };
  };
}
