/** Where a request comes from, as far as the gateway can tell. */
export type ClientAddress = {
  /** An IP address; an IPv4 one in its own form. `unknown` when the connection was gone already. */
  readonly address: string;
  /** What limits count: the address, or the /64 network of an IPv6 address, which is one customer's. */
  readonly bucket: string;
  /** Whether limits for each address apply. */
  readonly isLimited: boolean;
};
