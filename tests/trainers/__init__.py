"""What trainers require of their files, re-stated from their code: the parts that read records, under their names."""
