/*
 * `gatehouse verify` and `gatehouse why`.
 */
#ifndef PROXY_COMMAND_VERIFY_H
#define PROXY_COMMAND_VERIFY_H

/*
 * Decides about an image, requirement by requirement. Binds no port, locks no store, writes no
 * audit record. Returns 0 allowed, 1 denied, 2 wrong usage or configuration, 3 could not decide.
 */
int command_verify(int argc, char **argv);

#endif
