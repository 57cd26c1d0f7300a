/* The event rates of the last minute, as far as all events were counted. */
const MINUTE = 60; // in seconds

/** Return whether all events of a step were counted. */
export const known = (rates, place) => rates.from + place * rates.stepSeconds >= rates.knownFrom;

/** Return how many seconds of the last minute are known, and `events(...types)`: the number of events of some types, or
 * of all. */
export function lately(rates) {
  const last = rates.steps.length - 1; // it is not over yet
  const steps = rates.steps.filter((_, place) => place < last && place >= last - MINUTE / rates.stepSeconds && known(rates, place));
  const events = (...types) => steps.reduce((sum, step) => sum + Object.entries(step.events).reduce((all, [type, times]) => all + (!types.length || types.includes(type) ? times : 0), 0), 0);
  return { seconds: steps.length * rates.stepSeconds, events };
}
