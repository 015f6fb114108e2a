// The picture on the canvas: channels in pseudo-colour, or in grey under a map.

const ORANGE = [255, 122, 20], MOST = 0.55;

export class Picture {
  /** `channels` have a name, and weights in red, green and blue. */
  constructor(canvas, channels) {
    this.canvas = canvas;
    this.channels = channels;
    this.planes = {};
    [this.width, this.height] = [0, 0];
  }

  /** Load the planes of an image: URLs of greyscale PNGs by channel. */
  async load(addresses) {
    const loaded = await Promise.all(Object.entries(addresses).map(async ([channel, address]) => {
      const image = new Image();
      image.src = address;
      await image.decode();
      return [channel, image];
    }));
    ({ naturalWidth: this.width, naturalHeight: this.height } = loaded[0][1]);
    this.planes = Object.fromEntries(loaded.map(([channel, image]) => [channel, values(image)]));
    Object.assign(this.canvas, { width: this.width, height: this.height });
    this.canvas.style.setProperty("--ratio", this.width / this.height);
  }

  /** Paint the channels of a set of names; with a map {height, width, values}, in grey below it. */
  paint(names, map) {
    const pixels = new ImageData(this.width, this.height), rgba = pixels.data;
    const shown = this.channels.filter(({ name }) => names.has(name))
      .map(({ name, weights }) => [this.planes[name], weights]);
    const heat = map && enlarge(map, this.width, this.height);
    for (let k = 0, at = 0; at < rgba.length; k++, at += 4) {
      if (heat) {
        const grey = Math.max(0, ...shown.map(([plane]) => plane[k])), weight = MOST * heat[k];
        for (let c = 0; c < 3; c++) rgba[at + c] = (1 - weight) * grey + weight * ORANGE[c];
      } else { // as hpa.data.images.rendering.pseudo_colour; the array clips at 255
        for (let c = 0; c < 3; c++) {
          let light = 0;
          for (const [plane, weights] of shown) light += weights[c] * plane[k];
          rgba[at + c] = light;
        }
      }
      rgba[at + 3] = 255;
    }
    this.canvas.getContext("2d").putImageData(pixels, 0, 0);
  }
}

function values(image) {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return Uint8Array.from({ length: rgba.length / 4 }, (_, k) => rgba[4 * k]);
}

/** Enlarge a map bilinearly with replicated borders, as OpenCV's INTER_LINEAR does. */
function enlarge({ height, width, values }, toWidth, toHeight) {
  const columns = places(width, toWidth), rows = places(height, toHeight);
  const enlarged = new Float32Array(toWidth * toHeight);
  rows.forEach(([top, bottom, down], y) => columns.forEach(([left, right, along], x) => {
    const at = row => (1 - along) * values[row * width + left] + along * values[row * width + right];
    enlarged[y * toWidth + x] = (1 - down) * at(top) + down * at(bottom);
  }));
  return enlarged;
}

function places(n, size) {
  return Array.from({ length: size }, (_, k) => {
    const place = Math.min(Math.max((k + 0.5) * n / size - 0.5, 0), n - 1), first = Math.floor(place);
    return [first, Math.min(first + 1, n - 1), place - first];
  });
}
