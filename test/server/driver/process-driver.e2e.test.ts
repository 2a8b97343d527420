import { ProcessDriver } from '../../../server/driver/process-driver.ts';
import { describeDriver } from './support/driver-suite.ts';

describeDriver({
  name: 'process',
  open: (program) => new ProcessDriver({ program }),
  isAvailable: true,
});
