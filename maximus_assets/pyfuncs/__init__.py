"""Code that runs inside a promoted model while serving: numpy arithmetic and the model-from-code script, nothing that trains."""
