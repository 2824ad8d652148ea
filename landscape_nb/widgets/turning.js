// Turning by hand: a mouse, a finger or keys move the eye around what is drawn in perspective.

const STEP = 5; // degrees that an arrow key turns
const PER_PIXEL = 0.5; // degrees that a pixel of dragging turns

const around = (angle) => (((angle + 180) % 360) + 360) % 360 - 180;
const held = (angle) => Math.max(0, Math.min(90, angle));

/** Let an element turn the surface: a mouse in both directions, a finger sideways, arrow keys. */
export function turnable(stage, state, set) {
  let grip = null;
  stage.addEventListener("pointerdown", (event) => {
    const { azimuth, elevation } = state();
    grip = { x: event.clientX, y: event.clientY, azimuth, elevation };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", ({ clientX, clientY, pointerType }) => {
    if (!grip) return;
    const azimuth = around(grip.azimuth - PER_PIXEL * Math.round(clientX - grip.x));
    // up and down a finger scrolls the page
    const down = pointerType === "touch" ? 0 : Math.round(clientY - grip.y);
    set({ azimuth, elevation: held(grip.elevation + PER_PIXEL * down) });
  });
  for (const end of ["pointerup", "pointercancel"])
    stage.addEventListener(end, () => {
      grip = null;
    });
  stage.addEventListener("keydown", (event) => {
    const change = turnOf(event.key, state());
    if (!change) return;
    event.preventDefault(); // no scrolling
    set(change);
  });
}

/** What a key changes, or undefined. */
function turnOf(key, { azimuth, elevation, data: { home } }) {
  return {
    ArrowLeft: { azimuth: around(azimuth - STEP) },
    ArrowRight: { azimuth: around(azimuth + STEP) },
    ArrowUp: { elevation: held(elevation + STEP) },
    ArrowDown: { elevation: held(elevation - STEP) },
    Home: { azimuth: home[0], elevation: home[1] },
  }[key];
}
