@NullMarked
package io.splitcompute.s3;

import org.jspecify.annotations.NullMarked;
