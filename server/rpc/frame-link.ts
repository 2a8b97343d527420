/** What a gateway asks of an agent to exchange frames with it, as the value of `Upgrade`. */
export const FRAME_LINK_PROTOCOL = 'computesdk-frames';
/** Where it asks for that. */
export const FRAME_LINK_PATH = '/frames';
