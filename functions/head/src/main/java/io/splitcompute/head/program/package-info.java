/** The head's programs: TorchScript that is written here and run by DJL's PyTorch engine. */
@NullMarked
package io.splitcompute.head.program;

import org.jspecify.annotations.NullMarked;
