// Builds the workspace page into dist/web/.

import { buildWeb } from './setup/web-bundle.mjs';

await buildWeb();
