import { BubblewrapDriver } from '../../../server/driver/bubblewrap-driver.ts';
import { canBox } from './support/availability.ts';
import { describeDriver } from './support/driver-suite.ts';

describeDriver({
  name: 'bubblewrap',
  isAvailable: await canBox('none'),
  open: (program) => new BubblewrapDriver({ program, egress: 'none' }),
});
