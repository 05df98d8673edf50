// Asks for the token, when one is needed.

import { get, token, Unauthorized } from './api.js';
import { find } from './dom.js';

let open = null;

/** Returns when there is a token that the API accepts. However many ask, there is one dialog. */
export function askForToken(why = '') {
  open ??= show(why).finally(() => { open = null; });
  return open;
}

function show(why) {
  const [dialog, form, field, error] = ['token-dialog', 'token-form', 'token', 'token-error'].map(find);
  error.textContent = why;
  field.value = '';
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    // Without the token there is nothing behind the dialog to go back to.
    dialog.onclose = () => dialog.showModal();
    form.onsubmit = async (event) => {
      event.preventDefault();
      error.textContent = await mistake(field.value);
      if (error.textContent === '') {
        token.set(field.value);
        dialog.onclose = null;
        dialog.close();
        resolve();
      } else {
        field.select();
      }
    };
  });
}

async function mistake(value) {
  try {
    await get('/api/webhook/health', value);
    return '';
  } catch (error) {
    return error instanceof Unauthorized ? 'That token was not accepted.' : 'The API does not answer. Try again.';
  }
}
