"""What holds for every test."""

import torch

# Models of this size are faster so, above all beside other work.
torch.set_num_threads(1)
