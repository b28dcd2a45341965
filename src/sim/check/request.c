/* SPDX-License-Identifier: BSD-2-Clause */
/* Rule: a request that was taken comes back exactly once. */
#include "sim/view/event.h"
#include "sim/world.h"

void sim_request_begin(const void *request)
{
	world_capture();
	event_add(EVENT_REQUEST, (uintptr_t)request, 0)->pc = WORLD_PC();
	for (unsigned i = 0; i < W.request_count; i++)
		if (W.requests[i] == request)
			sim_fail("request-twice", "request %p was taken while it was in flight", request);
	if (W.request_count == REQUEST_MAX)
		sim_fail("simulator", "more than %u requests in flight", REQUEST_MAX);
	W.requests[W.request_count++] = request;
	W.requests_begun++;
}

void sim_request_end(const void *request)
{
	world_capture();
	event_add(EVENT_REQUEST_END, (uintptr_t)request, 0)->pc = WORLD_PC();
	for (unsigned i = 0; i < W.request_count; i++) {
		if (W.requests[i] != request)
			continue;
		W.requests[i] = W.requests[--W.request_count];
		return;
	}
	sim_fail("request-twice", "request %p came back, and was not in flight", request);
}
