/*
 * Registry requests: routing, who asks, and the way to an answer. The handler of every registry
 * listener; the listener's role is the gateway.
 *
 * Threads: the exchange's worker
 */
#ifndef PROXY_REQUEST_H
#define PROXY_REQUEST_H

struct exchange_handler;
struct gateway;

/* Static. */
const struct exchange_handler *request_handler(void);

/* What workers kept for reuse; none may run any more. */
void request_spares_free(struct gateway *gateway);

/* Lines added to answers the server gives by itself. */
#define REQUEST_REFUSAL_HEADERS "Docker-Distribution-API-Version: registry/2.0\r\n"

#endif
