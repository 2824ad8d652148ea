// Colour scales for heights: matplotlib's viridis and cividis, which lighten evenly and which
// colour-blind readers can read. Thirty-three colours of each; in between they are mixed.

const TABLES = {
  viridis:
    "440154470d6048186a482374472d7b4537814240863e49893b528b375b8d33638d2f6b8e2c728e297a8e26828e" +
    "23898e21918c1f988b1fa08822a78528ae8032b67a3fbc734ec36b5ec96270cf5784d44b98d83eaddc30c2df23" +
    "d8e219ece51bfde725",
  cividis:
    "00224e00285b002e6a0533711a386f273e6e32436d3b496c434e6c4b546c535a6d5a5f6e61656f686a716f7073" +
    "7676767d7c788482798c8878938e789b9476a39a74aba072b4a76fbcae6cc4b468cdbb63d5c25edec958e7d150" +
    "f0d846f9e03afee838",
};

/**
 * One colour scale for each quantity, the same in all explorables and in figures/scales.py: its
 * colours, and the ends of its logarithmic scale.
 */
export const SCALES = {
  loss: { colours: "cividis", limits: [0.05, 5] },
  "squared change": { colours: "viridis", limits: [1e-9, 10] },
};

/** How to find a value's place on the scale of a quantity, 0..1; what lies outside is at an end. */
export function placer(quantity) {
  const [low, high] = SCALES[quantity].limits.map(Math.log);
  return (value) => (value > 0 ? Math.max(0, Math.min(1, (Math.log(value) - low) / (high - low))) : 0);
}

/** The colour at a place of a quantity's scale, 0..1, as [red, green, blue], 0..255. */
export function colourOf(t, quantity) {
  const table = TABLES[SCALES[quantity].colours];
  const place = 32 * Math.max(0, Math.min(1, t));
  const low = Math.min(31, Math.floor(place));
  const channel = (i, c) => parseInt(table.slice(6 * i + 2 * c, 6 * i + 2 * c + 2), 16);
  return [0, 1, 2].map((c) =>
    Math.round(channel(low, c) + (place - low) * (channel(low + 1, c) - channel(low, c))),
  );
}

/** 256 colours of a scale in one array, three bytes each: for pictures of many points. */
export function colours(quantity) {
  return Uint8ClampedArray.from(Array.from({ length: 256 }, (_, i) => colourOf(i / 255, quantity)).flat());
}
