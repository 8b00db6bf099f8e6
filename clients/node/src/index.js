import { LogoutListener } from './listener.js';
import { authorizationParams } from './requests.js';

export { LogoutListener, authorizationParams };
export { findClaims } from './requests.js';

/** A listener that is not started yet; see the types for its options. */
export const createListener = (/** @type {any} */ options) => new LogoutListener(options);
