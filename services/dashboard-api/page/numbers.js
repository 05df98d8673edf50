// Numbers of a day, a week, a month.

import { data } from './api.js';
import { drawDays, drawRanking } from './bars.js';
import { choice, el, find, say } from './dom.js';
import { count, lastDays, percent, seconds } from './format.js';

const RANGES = [['1', 'Today'], ['7', '7 days'], ['30', '30 days']];
const BUTTONS = 7;

export class Numbers {
  #days = '1';

  /** `changed` is called when another range is asked for. */
  constructor(changed) {
    choice(find('numbers-range'), 'range', RANGES, this.#days, (days) => {
      this.#days = days;
      changed();
    });
    this.#drawFigures({});
  }

  /** `since`: the first day of which anything is known. */
  async refresh(since) {
    const days = this.#days;
    // One day is no series: today stands beside the six before it.
    const chart = days === '1' ? '7' : days;
    const [numbers, metrics, series] = await Promise.all([
      data(`/api/numbers?days=${days}`),
      data(`/api/webhook/metrics?days=${days}`),
      data(`/api/webhook/metrics?days=${chart}`),
    ]);
    if (days !== this.#days) return;
    this.#drawFigures(numbers.data);
    const shown = lastDays(Number(chart), numbers.timestamp);
    drawDays(find('clicks-by-day'), shown, series.data.button_analytics.hourly_distribution, since);
    say(find('clicks-by-day-title'), `Clicks per day, last ${chart} days`);
    const window = days === '1' ? 'last 24 hours' : `last ${days} days`;
    say(find('clicks-by-button-title'), `Clicks per button, ${window}`);
    const clicks = metrics.data.button_analytics.daily_button_clicks;
    drawRanking(find('clicks-by-button'), clicks, BUTTONS, `No clicks in the ${window}.`);
  }

  #drawFigures({ clicks, texts, deliveries, successful, failed, avg_response_time: response }) {
    const rate = deliveries > 0 ? (successful / deliveries) * 100 : null;
    const figures = [
      ['Clicks', count(clicks)],
      ['Texts', count(texts)],
      ['Average response', seconds(response)],
      ['Deliveries', count(deliveries)],
      ['Failed', count(failed)],
      ['Success rate', percent(rate)],
    ];
    find('figures').replaceChildren(...figures.map(([title, value]) =>
      el('div', { 'data-figure': title }, el('dt', {}, title), el('dd', {}, value))));
  }
}
