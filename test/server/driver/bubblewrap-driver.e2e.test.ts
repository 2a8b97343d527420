import { BubblewrapDriver } from '../../../server/driver/bubblewrap-driver.ts';
import { describeDriver } from './support/driver-suite.ts';

describeDriver({
  name: 'bubblewrap',
  open: (program) => new BubblewrapDriver({ program, egress: 'none' }),
});
