// Numbers in words, digit for digit as Python's format() writes them. Python breaks a tie towards
// the even digit, browsers upwards: 0.125 is 0.12 there and 0.13 here, unless told otherwise.

const MOST = 100; // digits that browsers write at most: with these every tie is seen

/** A number rounded half to even, from the same number written with MOST digits and with few. */
function halfEven(long, few, digits) {
  const point = long.indexOf(".");
  const cut = long.slice(0, digits ? point + 1 + digits : point);
  const rest = long.slice(point + 1 + digits);
  return /^50*$/.test(rest) && /[02468]$/.test(cut) ? cut : few;
}

function notFinite(x) {
  return Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf";
}

/** Python's f"{x:.{digits}f}". */
export function fixed(x, digits) {
  if (!Number.isFinite(x)) return notFinite(x);
  const sign = x < 0 || Object.is(x, -0) ? "-" : "";
  const size = Math.abs(x);
  if (size >= 1e21) return sign + BigInt(size) + (digits ? "." + "0".repeat(digits) : "");
  return sign + halfEven(size.toFixed(MOST), size.toFixed(digits), digits);
}

/** Python's f"{x:.{digits}e}": at least two digits in the exponent. */
export function scientific(x, digits) {
  if (!Number.isFinite(x)) return notFinite(x);
  const sign = x < 0 || Object.is(x, -0) ? "-" : "";
  const [long] = Math.abs(x).toExponential(MOST).split("e");
  const [few, exponent] = Math.abs(x).toExponential(digits).split("e");
  // where rounding up adds a digit (9.96 to 1.00e1) there was no tie to an even digit
  const mantissa = halfEven(long, few, digits);
  return sign + mantissa + "e" + exponent[0] + exponent.slice(1).padStart(2, "0");
}

/** Python's f"{x:.{digits}g}": significant digits, without zeros at the end. */
export function general(x, digits = 6) {
  if (!Number.isFinite(x)) return notFinite(x);
  const written = scientific(x, digits - 1);
  const [mantissa, exponent] = written.split("e");
  if (exponent >= -4 && exponent < digits) return bare(fixed(x, digits - 1 - exponent));
  return bare(mantissa) + "e" + exponent;
}

function bare(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** A ratio in words: 5239, 0.12 */
export function howMany(count) {
  return fixed(count, count >= 10 ? 0 : 2);
}

/** A power of ten as on an axis: 10⁻³; 1 and 10 in plain digits. */
export function powerOfTen(exponent) {
  if (exponent === 0 || exponent === 1) return String(10 ** exponent);
  return "10" + [...String(exponent)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
}
