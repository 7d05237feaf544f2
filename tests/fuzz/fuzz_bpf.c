/* SPDX-License-Identifier: Apache-2.0 */
/* The first 64 bytes are a system call, the rest a program. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "oci/bpf.h"
#include "oci/seccomp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct sock_filter f[BPF_MAXINSNS];
	struct seccomp_data data;
	if (size < sizeof(data))
		return 0;
	memcpy(&data, bytes, sizeof(data));

	size_t n = (size - sizeof(data)) / sizeof(f[0]);
	if (n > BPF_MAXINSNS)
		n = BPF_MAXINSNS;
	memcpy(f, bytes + sizeof(data), n * sizeof(f[0]));
	struct sock_fprog program = { .len = (unsigned short) n, .filter = f };

	struct error err;
	if (bpf_validate(&program, &err) == 0)
		(void) bpf_run(&program, &data);
	(void) seccomp_filter_check(&program, &err);
	return 0;
}
